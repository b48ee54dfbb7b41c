"""One worker process a checkout of this project, for comparing two of them in one run.

Both run the same script, the caller's; what it imports of the project (`bench`, the tests' modules) comes from the
worker's own checkout.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parents[1]
"""The checkout of this file."""
_FOLDERS = ("", "tests", "tests/benchmarks")


class Worker:
    """A process that runs `script --serve` on a checkout and answers one question after another.

    Raises RuntimeError where the process ends instead; what it wrote to the standard error stream says why.
    """

    def __init__(self, checkout: Path, script: str) -> None:
        from bench.run.scheduler import WORKER_ENVIRONMENT

        self.checkout = checkout.resolve()
        path = os.pathsep.join(str(self.checkout / folder) for folder in _FOLDERS)
        self.process = subprocess.Popen(
            # -P: the script's own folder would come before the checkout's.
            [sys.executable, "-P", script, "--serve"],
            env={**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": path},
            cwd=self.checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: Any) -> Any:
        """Send a question and wait for its answer, JSON both."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker of {self.checkout} ended with status {self.process.wait()}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()


def serve(answer: Callable[..., Any]) -> None:
    """A worker's side: `answer` gets each question's fields by name; what else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=answers, flush=True)
