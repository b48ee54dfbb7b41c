"""Progress of running jobs: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.cli.remaining import Remaining
from bench.clock import Every
from bench.plan.jobs import Job
from bench.processes import world
from bench.run.scheduler import Display, Outcome

LINE_EVERY_S = 30.0


@contextmanager
def display(jobs: Sequence[Job], parallel: int) -> Iterator[Display]:
    """What fits the standard output, for these jobs, so many at once."""
    remaining = Remaining(jobs, parallel)
    if not world().leads:
        yield _Silent()
    elif sys.stdout.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[news]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console()) as progress:
            yield _Live(progress, remaining)
    else:
        yield _Lines(remaining)


def _news(phase: str, done: int, total: int, loss: float | None) -> str:
    return f"{phase} {done}/{total}" + ("" if loss is None else f" loss {loss:.4f}")


def _ending(outcome: Outcome) -> str:
    return outcome.state if outcome.reason is None else f"{outcome.state}: {outcome.reason}"


class _Live:
    def __init__(self, progress: Progress, remaining: Remaining) -> None:
        self.bars, self.remaining = progress, remaining
        self.tasks: dict[str, TaskID] = {}
        self.all = progress.add_task("all jobs", total=1.0, news="")

    def started(self, job: Job) -> None:
        self.remaining.started()
        self.tasks[job.identity] = self.bars.add_task(job.name, total=None, news="starting")

    def progress(self, job: Job, phase: str, done: int, total: int, loss: float | None) -> None:
        self.bars.update(self.tasks[job.identity], completed=done, total=total, news=_news(phase, done, total, loss))
        self.remaining.progress(job, phase, done, total)
        self._all()

    def finished(self, outcome: Outcome) -> None:
        self.remaining.finished(outcome)
        self._all()
        task = self.tasks.pop(outcome.job.identity, None)
        if task is not None:
            self.bars.remove_task(task)
        self.bars.console.print(f"{outcome.job.name}: {_ending(outcome)}", highlight=False, markup=False)

    def _all(self) -> None:
        self.bars.update(self.all, completed=self.remaining.share, news=self.remaining.words())


class _Silent:
    def started(self, job: Job) -> None:
        pass

    def progress(self, job: Job, phase: str, done: int, total: int, loss: float | None) -> None:
        pass

    def finished(self, outcome: Outcome) -> None:
        pass


class _Lines:
    def __init__(self, remaining: Remaining) -> None:
        self.remaining = remaining
        self.begin = time.monotonic()
        self.every: defaultdict[str, Every] = defaultdict(lambda: Every(LINE_EVERY_S))

    def started(self, job: Job) -> None:
        self.remaining.started()
        self._print(job, "started")

    def progress(self, job: Job, phase: str, done: int, total: int, loss: float | None) -> None:
        self.remaining.progress(job, phase, done, total)
        if self.every[job.identity].due(phase):
            self._print(job, _news(phase, done, total, loss))

    def finished(self, outcome: Outcome) -> None:
        self.remaining.finished(outcome)
        self._print(outcome.job, f"{_ending(outcome)} ({self.remaining.words()})")

    def _print(self, job: Job, text: str) -> None:
        print(f"[{time.monotonic() - self.begin:6.0f} s] {job.name}: {text}", flush=True)
