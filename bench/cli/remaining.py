"""How far all jobs of a run are together, and how long the rest will take."""

import time
from collections.abc import Sequence

from bench.plan.cost import elapsed
from bench.plan.jobs import Job
from bench.run.scheduler import Outcome

FIRST_S = 20.0
"""Seconds of work from which on the measured speed counts, before that the declared costs."""
AFTER_TRAINING = ("predict", "score")


class Remaining:
    """Told what the scheduler tells a display; a job weighs what its suite says that it costs."""

    def __init__(self, jobs: Sequence[Job], parallel: int) -> None:
        self.parallel = parallel
        self.open = {job.identity: job for job in jobs}
        self.number = len(jobs)
        known = [job.cost_s for job in jobs if job.cost_s]
        self.usual = sum(known) / len(known) if known else None
        self.shares: dict[str, float] = {}
        self.done = 0.0
        self.begin: float | None = None

    @property
    def ended(self) -> int:
        """Jobs that ended, or needed no work."""
        return self.number - len(self.open)

    @property
    def share(self) -> float:
        """0 to 1, of the work of this run: jobs that were done before count for nothing."""
        whole = self.done + sum(map(self._weight, self.open.values()))
        return self._worked() / whole if whole else 1.0

    def started(self) -> None:
        """A worker was started."""
        self.begin = time.monotonic() if self.begin is None else self.begin

    def progress(self, job: Job, phase: str, done: int, total: int) -> None:
        """A worker reports where it is; the phases beside training take little time."""
        if phase == "train" and total:
            self.shares[job.identity] = done / total
        elif phase in AFTER_TRAINING:
            self.shares[job.identity] = 1.0

    def finished(self, outcome: Outcome) -> None:
        """A job ended, or needed no work."""
        job = self.open.pop(outcome.job.identity, None)
        self.shares.pop(outcome.job.identity, None)
        if job is not None and outcome.state == "executed":
            self.done += self._weight(job)

    def seconds(self) -> float | None:
        """Until all are done; None where nothing tells."""
        if not self.open:
            return 0.0
        worked, took = self._worked(), 0.0 if self.begin is None else time.monotonic() - self.begin
        if worked and took >= FIRST_S:
            whole = self.done + sum(map(self._weight, self.open.values()))
            return took * (whole - worked) / worked
        return None if self.usual is None else elapsed(list(self.open.values()), self.parallel) or None

    def words(self) -> str:
        """`3 of 12 jobs, about 14 min left`."""
        left = self.seconds()
        told = "" if not left else f", about {duration(left)} left"
        return f"{self.ended} of {self.number} jobs{told}"

    def _worked(self) -> float:
        return self.done + sum(self._weight(self.open[job]) * share for job, share in self.shares.items())

    def _weight(self, job: Job) -> float:
        return job.cost_s or self.usual or 1.0


def duration(seconds: float) -> str:
    """`40 s`, `14 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
