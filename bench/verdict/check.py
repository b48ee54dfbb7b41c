"""All verdicts of a suite at a tier."""

from collections import Counter
from collections.abc import Mapping

from bench.external.gather import ExternalResult
from bench.schema.published import PublishedTable
from bench.verdict.baseline import Baseline
from bench.verdict.faults import fault, headline, taint, undefined
from bench.verdict.gather import JobResult, Results
from bench.verdict.moves import compare
from bench.verdict.references import judge_references
from bench.verdict.tolerances import Metrics, Peers
from bench.verdict.verdicts import Status, Verdict


def judge(results: Results, baseline: Baseline | None, table: PublishedTable | None) -> list[Verdict]:
    """Rows in the suite's order, each with one verdict a job and one a submitted record; then the references."""
    verdicts: list[Verdict] = []
    for row in results.rows:
        if row.row.reported_only is not None:
            verdicts.append(Verdict("result", row.row.id, None, "not run", row.row.reported_only))
        verdicts += [judge_job(result, baseline, results) for result in row.jobs]
        verdicts += [judge_external(result) for result in row.external]
    return verdicts + judge_references(results, table)


def judge_job(result: JobResult, baseline: Baseline | None, results: Results) -> Verdict:
    """A job that failed, is absent, or is no sound result has that verdict; a sound one is compared."""
    job, record = result.job, result.record
    row, repetition = job.row.id, job.repetition
    if result.state == "failed":
        return Verdict("result", row, repetition, "fails", result.reason or "")
    if record is None:
        status: Status = "blocked" if result.state == "blocked" else "absent"
        return Verdict("result", row, repetition, status, result.reason or "not run yet")
    if (why := fault(result)) is not None:
        return Verdict("result", row, repetition, "fails", why)
    earlier = None if baseline is None else baseline.record(row, repetition)
    if baseline is None or earlier is None:
        return Verdict("baseline", row, repetition, "no baseline", "", taint(record))
    found = compare(record, earlier, baseline.tolerances.of(row), _peers(result, baseline, results))
    return Verdict("baseline", row, repetition, found.status, found.message, taint(record))


def _peers(result: JobResult, baseline: Baseline, results: Results) -> Peers:
    ours = {
        (other.job.row.id, other.job.repetition): other.record.metrics
        for other in results.jobs
        if other.record is not None and fault(other) is None
    }
    theirs = {(entry.row, entry.repetition): entry.record.metrics for entry in baseline.entries}
    repetition, row = result.job.repetition, result.job.row.id
    runs = [metrics for (name, _), metrics in theirs.items() if name == row]
    return Peers(_at(ours, repetition), _at(theirs, repetition), runs)


def _at(metrics: Mapping[tuple[str, int], Metrics], repetition: int) -> dict[str, Metrics]:
    """By row its run of the repetition; of a row that runs once, that one."""
    runs = Counter(row for row, _ in metrics)
    return {row: found for (row, n), found in metrics.items() if n == repetition or runs[row] == 1}


def judge_external(result: ExternalResult) -> Verdict:
    """A submitted record is shown and compared with no baseline; one that is stale or broken says so."""
    row, repetition, record = result.row, result.repetition, result.record
    if record is None:
        states: dict[str, Status] = {"stale": "stale", "blocked": "blocked"}
        return Verdict("external", row, repetition, states.get(result.state, "fails"), result.reason or "")
    if (why := undefined(record)) is not None:
        return Verdict("external", row, repetition, "fails", why)
    name = headline(record) or ""
    message = f"{name} {100 * record.metrics[name]:.2f}, {record.submitted.described}"
    return Verdict("external", row, repetition, "external", message, taint(record))
