"""What was accepted, read as what was measured here is: our own records, and those of submitted predictions."""

from dataclasses import replace

from bench.errors import BenchError
from bench.external.gather import ExternalResult
from bench.plan.jobs import Job
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import baseline_file, load
from bench.verdict.external import load_external
from bench.verdict.gather import JobResult, Results, collect


def gather_committed(located: Located, tier: Tier) -> Results:
    """The baselines' records in place of the local ones, also where they are of an earlier protocol.

    Raises BenchError where no baseline of our own records stands.
    """
    baseline = load(located, tier)
    if baseline is None:
        path = baseline_file(located, tier)
        raise BenchError(f"{path}: there is no baseline; `qdet-bench accept {located.name} --tier {tier}` writes one")

    def find(job: Job) -> JobResult:
        record = baseline.record(job.row.id, job.repetition)
        return JobResult(job, "absent") if record is None else JobResult(job, "done", record)

    results = collect(located, tier, find, lambda job: baseline.record(job.row.id, job.repetition) is not None)
    submitted = _submitted(located, tier)
    return replace(results, rows=tuple(replace(r, external=submitted.get(r.row.id, ())) for r in results.rows))


def _submitted(located: Located, tier: Tier) -> dict[str, tuple[ExternalResult, ...]]:
    baseline = load_external(located, tier)
    found: dict[str, dict[int, ExternalResult]] = {}
    for entry in baseline.entries if baseline is not None else ():
        # Of several environments the first accepted record is shown.
        result = ExternalResult(entry.row, entry.repetition, "ok", entry.record)
        found.setdefault(entry.row, {}).setdefault(entry.repetition, result)
    return {row: tuple(results.values()) for row, results in found.items()}
