"""Run what a test lacks, as `qdet-bench run` does, in processes of its own."""

from bench.plan.jobs import Job, plan
from bench.records.store import Store
from bench.run.scheduler import Outcome, run_jobs
from bench.schema.load import Located
from bench.schema.suite import Tier


def train(located: Located, tier: Tier, row: str) -> None:
    """Run what has no record of a row and of those that it starts from, one job after the other."""
    run_jobs(plan(located, tier, (row,)), Store(located.root.resolve()), 1, ("pytest", "--qdet-run"), _Silence())


class _Silence:
    """A failure is found in the store."""

    def started(self, job: Job) -> None:
        """Nothing is shown."""

    def progress(self, job: Job, phase: str, done: int, total: int, loss: float | None) -> None:
        """Nothing is shown."""

    def finished(self, outcome: Outcome) -> None:
        """Nothing is shown."""
