"""What was accepted, read as what was measured here is: our own records, and those of submitted predictions."""

from dataclasses import replace

from bench.errors import BenchError
from bench.plan.jobs import Job
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import baseline_file, load
from bench.verdict.external import accepted
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
    submitted = accepted(located, tier)
    return replace(results, rows=tuple(replace(r, external=submitted.get(r.row.id, ())) for r in results.rows))
