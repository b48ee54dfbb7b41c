"""What is still to pay: the sum over the jobs, and the time that two cores take for it."""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.plan.jobs import Job
from bench.plan.standing import TO_PAY, Standing

CORES = 2
"""Of the small machine that expected costs are stated for."""


class Cost(NamedTuple):
    """Expected cost of the jobs that are not done; blocked ones do not count."""

    jobs: int
    total_s: float
    """On one core."""
    elapsed_s: float
    """On `CORES` cores, each job after the one it starts from."""
    unknown: int
    """Jobs whose suite declares no cost; they count as nothing."""


def to_pay(standings: Iterable[Standing]) -> Cost:
    """The cost of what is missing, stale or failed; jobs that suites share are paid once."""
    jobs = list({s.job.identity: s.job for s in standings if s.state in TO_PAY}.values())
    return Cost(
        jobs=len(jobs),
        total_s=sum(job.cost_s or 0.0 for job in jobs),
        elapsed_s=elapsed(jobs),
        unknown=sum(job.cost_s is None for job in jobs),
    )


def elapsed(jobs: Sequence[Job], cores: int = CORES) -> float:
    """Seconds until the last job ends; a free core takes the first job in order that can start (as `run`)."""
    waiting = {job.identity: job for job in jobs}
    running: list[tuple[float, str]] = []
    now = 0.0
    unfinished = set(waiting)
    while waiting or running:
        for job in list(waiting.values()):
            if len(running) < cores and (job.start is None or job.start.identity not in unfinished):
                heapq.heappush(running, (now + (job.cost_s or 0.0), job.identity))
                del waiting[job.identity]
        now, finished = heapq.heappop(running)
        unfinished.remove(finished)
    return now
