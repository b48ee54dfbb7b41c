"""All verdicts of a suite at a tier."""

from collections import Counter
from collections.abc import Iterator, Mapping

from bench.external.gather import ExternalResult
from bench.plan.standing import changed_sources
from bench.records.record import Record
from bench.schema.group import NO_GROUPS, Groups
from bench.schema.published import PublishedTable
from bench.verdict.baseline import Baseline
from bench.verdict.external import ExternalBaseline
from bench.verdict.faults import fault, headline, taint, undefined
from bench.verdict.gather import JobResult, Results
from bench.verdict.groups import known, resolve
from bench.verdict.moves import compare, nearest
from bench.verdict.numbers import numbers
from bench.verdict.references import judge_references
from bench.verdict.runs import Together, judge_together, together
from bench.verdict.tolerances import Metrics, Peers
from bench.verdict.verdicts import Status, Verdict


def judge(
    results: Results, baseline: Baseline | None, table: PublishedTable | None, external: ExternalBaseline | None = None
) -> list[Verdict]:
    """Rows in the suite's order, each with one verdict a job and one a submitted record; then the references.

    Runs that only together can be compared with the baseline have one verdict in common.
    """
    groups = known(resolve(results)) if results.located.suite.groups_at(results.tier) else {}
    judged = {
        row.row.id: [(result, judge_job(result, baseline, results, groups)) for result in row.jobs]
        for row in results.rows
    }
    pooled = {} if baseline is None else judge_together(_together(judged, baseline, groups))
    verdicts: list[Verdict] = []
    for row in results.rows:
        if row.row.reported_only is not None:
            verdicts.append(Verdict("result", row.row.id, None, "not run", row.row.reported_only))
        verdicts += [found for _, found in judged[row.row.id] if isinstance(found, Verdict)]
        verdicts += pooled.get(row.row.id, [])
        verdicts += [judge_external(result, external, groups) for result in row.external]
    return verdicts + judge_references(results, table)


def _together(
    judged: Mapping[str, list[tuple[JobResult, Verdict | Record]]], baseline: Baseline, groups: Groups
) -> Iterator[Together]:
    for row, found in judged.items():
        pairs = [(r.job.repetition, r.record, there) for r, there in found if r.record and isinstance(there, Record)]
        further = [
            r.record for r, one in found if r.record and isinstance(one, Verdict) and one.status == "no baseline"
        ]
        if pairs:
            yield together(row, pairs, further, baseline, groups)


def judge_job(
    result: JobResult, baseline: Baseline | None, results: Results, groups: Groups = NO_GROUPS
) -> Verdict | Record:
    """A job that failed, is absent, or is no sound result has that verdict; a sound one is compared.

    In place of a verdict the baseline's record, where only all runs of the row can be compared with it.
    """
    job, record = result.job, result.record
    row, repetition = job.row.id, job.repetition
    if result.state == "failed":
        return Verdict("result", row, repetition, "fails", result.reason or "")
    if record is None:
        status: Status = "blocked" if result.state == "blocked" else "absent"
        return Verdict("result", row, repetition, status, result.reason or "not run yet")
    if (why := fault(result)) is not None:
        return Verdict("result", row, repetition, "fails", why)
    if changed := "; ".join(changed_sources(job, record)):
        return Verdict("result", row, repetition, "inconclusive", f"not compared: {changed}")
    earlier = None if baseline is None else nearest(record, baseline.records(row, repetition))
    if baseline is None or earlier is None:
        return Verdict("baseline", row, repetition, "no baseline", "", taint(record))
    critical = baseline.tolerances.critical(row, groups, headline(record))
    found = compare(record, earlier, baseline.tolerances.of(row), _peers(result, baseline, results, groups), critical)
    return earlier if found is None else Verdict("baseline", row, repetition, *found, taint(record))


def _peers(result: JobResult, baseline: Baseline, results: Results, groups: Groups) -> Peers:
    ours = {
        (other.job.row.id, other.job.repetition): numbers(other.record, groups)
        for other in results.jobs
        if other.record is not None and fault(other) is None
    }
    theirs = {(entry.row, entry.repetition): numbers(entry.record, groups) for entry in baseline.entries}
    repetition = result.job.repetition
    return Peers(_at(ours, repetition), _at(theirs, repetition))


def _at(metrics: Mapping[tuple[str, int], Metrics], repetition: int) -> dict[str, Metrics]:
    """By row its run of the repetition; of a row that runs once, that one."""
    runs = Counter(row for row, _ in metrics)
    return {row: found for (row, n), found in metrics.items() if n == repetition or runs[row] == 1}


def judge_external(
    result: ExternalResult, baseline: ExternalBaseline | None = None, groups: Groups = NO_GROUPS
) -> Verdict:
    """A submitted record, against its baseline where it has one; one that is stale or broken says so."""
    row, repetition, record = result.row, result.repetition, result.record
    if record is None:
        states: dict[str, Status] = {"stale": "stale", "blocked": "blocked"}
        return Verdict("external", row, repetition, states.get(result.state, "fails"), result.reason or "")
    if (why := undefined(record)) is not None:
        return Verdict("external", row, repetition, "fails", why)
    name = headline(record) or ""
    message = f"{name} {100 * record.metrics[name]:.2f}, {record.submitted.described}"
    earlier = None if baseline is None else nearest(record, baseline.records(row, repetition))
    found = None
    if baseline is not None and earlier is not None:
        critical = baseline.tolerances.critical(row, groups, name)
        found = compare(record, earlier, baseline.tolerances.of(row), critical=critical)
    if found is None:
        return Verdict("external", row, repetition, "external", message, taint(record))
    status, why = found
    return Verdict("external", row, repetition, status, f"{message}; {why}" if why else message, taint(record))
