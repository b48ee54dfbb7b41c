"""The scheduler: jobs in parallel processes, each after the one it starts from. Imports no torch."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import Literal, Protocol

from bench.clock import now
from bench.engine.order import Logger, Order, Start
from bench.errors import BenchError
from bench.plan.jobs import Job
from bench.plan.standing import lost_checkpoint
from bench.records.record import Asked, Record
from bench.records.store import Store
from bench.run.worker import EXECUTED, FOUND
from bench.schema.source import told

State = Literal["done", "executed", "failed", "blocked"]
"""`done`: it had a record; `executed`: it ran now; `failed`: it has a reason; `blocked`: its data are absent."""

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Without these glibc returns large buffers to the system at each free, which costs more than arithmetic.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    # On a GPU, cuBLAS is deterministic only with a fixed workspace.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    state: State
    reason: str | None = None


class Display(Protocol):
    """What the scheduler tells whoever watches."""

    def started(self, job: Job) -> None:
        """A worker was started."""

    def progress(self, job: Job, phase: str, done: int, total: int, loss: float | None) -> None:
        """A worker reports where it is."""

    def finished(self, outcome: Outcome) -> None:
        """A job ended, or needed no work."""


def run_jobs(
    jobs: Sequence[Job],
    store: Store,
    parallel: int,
    arguments: tuple[str, ...],
    display: Display,
    log: Logger | None = None,
) -> list[Outcome]:
    """Run what is not done, at most `parallel` jobs at once; a failing job does not stop the others.

    Curves go to `log`. Returns one outcome a job, in the order of `jobs`.
    """
    scheduler = _Scheduler(store, parallel, arguments, display, log)
    return scheduler.run(jobs)


def record_of(job: Job, store: Store) -> Record | None:
    """The record of a job, None where it has none."""
    return store.folder(job.identity).record()


def order_of(job: Job, store: Store, arguments: tuple[str, ...], log: Logger | None = None) -> Order:
    """What a worker needs to run the job; BenchError where the row that it starts from left no checkpoint."""
    start = None
    if job.start is not None:
        origin = store.folder(job.start.identity)
        record = origin.record()
        if record is None or record.checkpoint_sha256 is None:
            raise BenchError(f"row {job.start.row.id} that it starts from has no checkpoint")
        if (lost := lost_checkpoint(job, store)) is not None:
            raise BenchError(lost)
        lineage = tuple(earlier.protocol for earlier in job.lineage)
        start = Start(checkpoint=origin.checkpoint, sha256=record.checkpoint_sha256, lineage=lineage)
    return Order(
        identity=job.identity,
        protocol=job.protocol,
        root=store.root,
        start=start,
        pins=job.row.pins.get(job.tier),
        arguments=arguments,
        asked=Asked(job.suite, job.row.id, job.tier, job.repetition),
        log=log,
    )


class _Scheduler:
    def __init__(
        self, store: Store, parallel: int, arguments: tuple[str, ...], display: Display, log: Logger | None
    ) -> None:
        self.store, self.parallel, self.arguments, self.display, self.log = store, parallel, arguments, display, log
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[str, tuple[Job, subprocess.Popen[str]]] = {}
        self.messages: Queue[tuple[str, str | None]] = Queue()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        waiting = {job.identity: job for job in jobs}
        try:
            while waiting or self.running:
                for job in list(waiting.values()):
                    if len(self.running) >= self.parallel:
                        break
                    # Asked one by one: a job that needs no work makes those ready that start from it.
                    if self._ready(job):
                        del waiting[job.identity]
                        self._begin(job)
                if self.running:
                    self._listen()
        finally:
            for _, process in self.running.values():
                process.kill()
        return [self.outcomes[job.identity] for job in jobs]

    def _ready(self, job: Job) -> bool:
        return job.start is None or job.start.identity in self.outcomes

    def _begin(self, job: Job) -> None:
        try:
            outcome = self._without_work(job)
            if outcome is None:
                self._launch(job)
                return
        except (BenchError, OSError) as error:
            outcome = Outcome(job, "failed", told(error) if isinstance(error, OSError) else str(error))
        self._end(outcome)

    def _without_work(self, job: Job) -> Outcome | None:
        folder = self.store.folder(job.identity)
        if job.blocked is not None:
            return Outcome(job, "blocked", job.blocked)
        if folder.record() is not None:
            return Outcome(job, "done")
        if job.start is not None and (origin := self.outcomes[job.start.identity]).state in (
            "failed",
            "blocked",
        ):
            return Outcome(job, "failed", f"row {job.start.row.id} that it starts from {origin.state}: {origin.reason}")
        return None

    def _launch(self, job: Job) -> None:
        folder = self.store.folder(job.identity)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.ask(order_of(job, self.store, self.arguments, self.log).model_dump_json(indent=1))
        with folder.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.run.worker", str(folder.path), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **WORKER_ENVIRONMENT},
            )
        self.running[job.identity] = (job, process)
        Thread(target=self._read, args=(job.identity, process), daemon=True).start()
        self.display.started(job)

    def _read(self, identity: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.messages.put((identity, line))
        process.wait()
        self.messages.put((identity, None))

    def _listen(self) -> None:
        try:
            identity, line = self.messages.get(timeout=1.0)
        except Empty:
            return
        job, process = self.running[identity]
        if line is not None:
            try:
                news = json.loads(line)
                self.display.progress(job, news["phase"], news["done"], news["total"], news["loss"])
            except (ValueError, KeyError, TypeError):
                pass  # a line that a library wrote by itself is no news
            return
        del self.running[identity]
        self._end(self._ended(job, process.returncode))

    def _ended(self, job: Job, code: int) -> Outcome:
        folder = self.store.folder(job.identity)
        try:
            if code in (EXECUTED, FOUND) and folder.record() is not None:
                return Outcome(job, "executed" if code == EXECUTED else "done")
        except BenchError as error:
            return Outcome(job, "failed", str(error))
        failure = folder.failure()
        reason = failure.reason if failure else f"the worker ended with code {code}; see {folder.log}"
        if failure is None:
            # Where even the note cannot be written, the disk is full: the reason is told all the same.
            with suppress(OSError):
                folder.fail(reason, now())
        return Outcome(job, "failed", reason)

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.job.identity] = outcome
        self.display.finished(outcome)


def unique(jobs: Iterable[Job]) -> list[Job]:
    """The jobs without those of the same identity: suites share their FP checkpoints."""
    return list({job.identity: job for job in jobs}.values())
