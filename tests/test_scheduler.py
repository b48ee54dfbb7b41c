"""The order in which the scheduler begins jobs: the plan's, as far as what they start from is there."""

from types import SimpleNamespace
from typing import Any

from bench.run.scheduler import Outcome, _Scheduler


class Noted(_Scheduler):
    """Begins no process: a job ends when the scheduler listens."""

    def __init__(self, done: set[str], parallel: int) -> None:
        quiet = SimpleNamespace(finished=lambda outcome: None)
        super().__init__(None, parallel, (), quiet, None)  # type: ignore[arg-type]
        self.already, self.begun = done, list[str]()

    def _without_work(self, job: Any) -> Outcome | None:
        return Outcome(job, "done") if job.identity in self.already else None

    def _launch(self, job: Any) -> None:
        self.begun.append(job.identity)
        self.running[job.identity] = (job, SimpleNamespace(kill=lambda: None))  # type: ignore[assignment]

    def _listen(self) -> None:
        job, _ = self.running.pop(next(iter(self.running)))
        self._end(Outcome(job, "executed"))


def test_rows_of_a_model_that_is_there_begin_before_later_models() -> None:
    model = SimpleNamespace(identity="model 0", start=None)
    row = SimpleNamespace(identity="row 0", start=model)
    later = SimpleNamespace(identity="model 1", start=None)
    last = SimpleNamespace(identity="row 1", start=later)
    jobs: list[Any] = [model, row, later, last]
    for done, parallel, begun in (
        ({"model 0"}, 1, ["row 0", "model 1", "row 1"]),
        (set[str](), 1, ["model 0", "row 0", "model 1", "row 1"]),
        (set[str](), 2, ["model 0", "model 1", "row 0", "row 1"]),
    ):
        scheduler = Noted(done, parallel)
        outcomes = scheduler.run(jobs)
        assert scheduler.begun == begun
        assert [outcome.job.identity for outcome in outcomes] == ["model 0", "row 0", "model 1", "row 1"]
