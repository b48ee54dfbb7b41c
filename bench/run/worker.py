"""The worker process of one job: `python -m bench.run.worker FOLDER RUNNER`, the runner's process id.

Progress goes to stdout as JSON lines.
"""

import fcntl
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from bench.clock import Every, now
from bench.engine.order import Order
from bench.errors import BenchError
from bench.imports import import_yapf, uncollected
from bench.processes import world
from bench.records.store import JobFolder

REPORT_EVERY_S = 1.0
EXECUTED, FAILED, FOUND = 0, 1, 10
"""Exit codes: the job ran; it failed, and the folder says why; another process had run it already."""


def main() -> int:
    """Run the job whose order lies in the folder; returns an exit code."""
    _die_with(int(sys.argv[2]))
    folder = JobFolder(Path(sys.argv[1]))
    # Under torchrun the leader holds the lock for all; the others wait for it when they join.
    leads = world().leads
    with _alone(folder) if leads else nullcontext():
        if folder.record() is not None:
            return FOUND
        try:
            if leads:
                folder.tidy()
            order = Order.model_validate_json(folder.job.read_bytes())
            # Torch takes seconds to import; a job that is done already need not wait for it.
            with uncollected():
                import_yapf()
                from bench.engine.execute import execute

            execute(order, folder, _Reporter())
            return EXECUTED
        except BenchError as error:
            reason = str(error)
        except Exception as error:
            traceback.print_exc()
            reason = _reason(error)
        folder.fail(reason, now())
        return FAILED


def _reason(error: BaseException) -> str:
    """One line: the exception, and which hook of which method it came from (`bench.methods.stack`)."""
    notes: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        notes += getattr(cause, "__notes__", [])
        cause = cause.__cause__
    said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return f"{said} ({'; '.join(notes)})" if notes else said


@contextmanager
def _alone(folder: JobFolder) -> Iterator[None]:
    """Hold the job's lock; the system drops it when the process dies, however it dies."""
    with folder.lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _die_with(runner: int) -> None:
    """A worker outlives its runner by at most half a second: nobody would read what it does.

    The runner says who it is: one that was killed while its worker started is no parent any more.
    """

    def watch() -> None:
        while os.getppid() == runner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Reporter:
    def __init__(self) -> None:
        self.every = Every(REPORT_EVERY_S)

    def __call__(self, phase: str, done: int, total: int, loss: float | None) -> None:
        if not self.every.due(phase) and done < total:
            return
        line: dict[str, Any] = {"phase": phase, "done": done, "total": total, "loss": loss}
        try:
            sys.__stdout__.write(f"{json.dumps(line)}\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]
        except BrokenPipeError:  # the runner is gone: no failure of the job
            os._exit(FAILED)


if __name__ == "__main__":
    # Whatever a library prints goes to the log; stdout carries progress alone.
    with os.fdopen(os.dup(2), "w") as log:
        sys.stdout = log
        raise SystemExit(main())
