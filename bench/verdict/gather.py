"""What there is of a suite at a tier: rows in order, each job with its record or the reason why not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.errors import BenchError
from bench.external.gather import ExternalResult, gather_external
from bench.plan.changes import changes
from bench.plan.identity import identity
from bench.plan.jobs import Job, plan
from bench.records.record import Record
from bench.records.store import Store
from bench.schema.load import Located
from bench.schema.source import told
from bench.schema.suite import Row, Tier

State = Literal["done", "failed", "blocked", "absent"]
"""`blocked`: its data are absent; `absent`: it never ran."""


@dataclass(frozen=True)
class JobResult:
    """A job and what became of it."""

    job: Job
    state: State
    record: Record | None = None
    """Only of a job that is done."""
    reason: str | None = None
    """Why a job failed or is blocked."""
    restored: bool = False
    """Whether its local record came from the baseline: it has no predictions."""


@dataclass(frozen=True)
class RowResult:
    """A row and its jobs, by repetition; a row that is reported only has none."""

    row: Row
    jobs: tuple[JobResult, ...]
    external: tuple[ExternalResult, ...] = ()
    """What was submitted to the row, by repetition. Never mixed with its jobs, and no part of a baseline."""


@dataclass(frozen=True)
class Results:
    """All rows of a suite at a tier."""

    located: Located
    tier: Tier
    rows: tuple[RowResult, ...]

    @property
    def jobs(self) -> tuple[JobResult, ...]:
        """The jobs of all rows, in the order of the rows."""
        return tuple(result for row in self.rows for result in row.jobs)


def gather(located: Located, tier: Tier) -> Results:
    """What the local store has. A damaged record is a failure with its reason; OSError where none can be read."""
    store = Store(located.root)
    seen: dict[str, JobResult] = {}

    def find(job: Job) -> JobResult:
        if job.identity not in seen:
            origin = None if job.start is None else find(job.start)
            seen[job.identity] = _local(job, store, origin)
        return seen[job.identity]

    results = collect(located, tier, find, lambda job: store.folder(job.identity).ended)
    pin = next((r.job.protocol.pin for r in results.jobs if r.job.blocked is None), None)
    external = gather_external(located, tier, pin)
    return replace(results, rows=tuple(replace(row, external=external[row.row.id]) for row in results.rows))


def collect(
    located: Located, tier: Tier, find: Callable[[Job], JobResult], further: Callable[[Job], bool] | None = None
) -> Results:
    """The planned jobs of a suite, each as `find` has it, and the `further` repetitions that somebody ran (`plan`)."""
    jobs = plan(located, tier, further=further)
    rows = (RowResult(row, tuple(find(j) for j in jobs if j.row.id == row.id)) for row in located.suite.rows)
    return Results(located, tier, tuple(rows))


def _local(job: Job, store: Store, origin: JobResult | None) -> JobResult:
    if job.blocked is not None:
        return JobResult(job, "blocked", reason=job.blocked)
    folder = store.folder(job.identity)
    try:
        record = folder.record()
        failure = folder.failure()
    except BenchError as error:
        return JobResult(job, "failed", reason=str(error))
    except IsADirectoryError as error:
        return JobResult(job, "failed", reason=told(error))
    if record is not None:
        if _is_of(record, job):
            return JobResult(job, "done", record, restored=folder.restored.exists())
        return JobResult(job, "failed", reason=_strange(record, job, folder.record_file))
    if failure is not None:
        return JobResult(job, "failed", reason=failure.reason)
    if origin is not None and origin.state == "failed":
        # The runner leaves no note in the folder of a job that it could not begin.
        reason = f"row {origin.job.row.id}, which it starts from, failed: {origin.reason}"
        return JobResult(job, "failed", reason=reason)
    return JobResult(job, "absent")


def _strange(record: Record, job: Job, path: Path) -> str:
    try:
        what = "; ".join(changes(job.raw, record.protocol)) or "its identity is another"
    except ValueError:  # as below
        what = "it holds no numbers"
    return f"{path}: its protocol is not the job's ({what}); remove it"


def _is_of(record: Record, job: Job) -> bool:
    try:
        return record.identity == job.identity == identity(record.protocol)
    except ValueError:  # NaN in the protocol of a file that somebody changed
        return False
