"""Published numbers beside the rows that they belong to, and what may be said of them."""

from collections.abc import Sequence

from bench.evaluation.metric import metric_of
from bench.records.record import Record
from bench.schema.load import Located
from bench.schema.publications import load_published
from bench.schema.published import PublishedRow, PublishedTable
from bench.schema.suite import Row
from bench.statistics.rules import judge_reference
from bench.verdict.faults import UNPINNED, sound_external, sound_runs, taint
from bench.verdict.gather import Results, RowResult
from bench.verdict.verdicts import Status, Verdict


def published_table(located: Located) -> PublishedTable | None:
    """The table that the suite names; None where it names none, or where its file is not below the root."""
    named = located.suite.published
    file = None if named is None else load_published(named.file, located.root)
    return None if named is None or file is None else file.table(named.table)


def published_row(row: Row, table: PublishedTable | None) -> PublishedRow | None:
    """The published numbers of a row; None where the paper has no such row."""
    return None if table is None or row.published is None else table.row(row.published)


def judge_references(results: Results, table: PublishedTable | None) -> list[Verdict]:
    """One verdict for each row that has a published number; what was submitted to a row has its own, tainted."""
    verdicts: list[Verdict] = []
    for row in results.rows:
        published = published_row(row.row, table)
        if table is not None and published is not None:
            verdicts += _judge(results, row, published, table)
    return verdicts


def _judge(results: Results, row: RowResult, published: PublishedRow, table: PublishedTable) -> list[Verdict]:
    external = sound_external(row) if results.tier == "paper" else []
    sound = sound_runs(row)
    found = []
    if sound or not external:
        status, message = _judge_measured(results, row, sound, published, table)
        found.append(Verdict("reference", row.row.id, None, status, message, taint(sound[0]) if sound else None))
    if external:
        # How they were made is not known, so they count as trained.
        status, message = _judge_runs(results, external, published, table, trained=True)
        found.append(Verdict("reference", row.row.id, None, status, message, taint(external[0])))
    return found


def _judge_measured(
    results: Results, row: RowResult, sound: Sequence[Record], published: PublishedRow, table: PublishedTable
) -> tuple[Status, str]:
    if row.row.reported_only is not None:
        return "not run", row.row.reported_only
    if results.tier != "paper":
        return "not run", "not run at tier paper"
    if not sound:
        return "not run", "there is no result"
    return _judge_runs(results, sound, published, table, trained=not sound[0].is_evaluation)


def _judge_runs(
    results: Results, records: Sequence[Record], published: PublishedRow, table: PublishedTable, *, trained: bool
) -> tuple[Status, str]:
    metric = results.located.suite.tiers[results.tier].metric
    if table.metric != metric.variant:
        return "inconclusive", f"not compared: metric {metric.variant}, published {table.metric}"
    if not published.gate and published.unknown is None:
        why = published.doubtful or table.information or f"trust: {table.trust}"
        return "inconclusive", f"no verdict may rest on this number ({why})"
    if published.kind == "gain":
        return "inconclusive", "a published gain is no number of one row; a claim tests it"
    scored = metric_of(metric)
    name = scored.headline
    value = next((number for key, number in published.metrics.items() if key in scored.published_names()), None)
    if value is None:
        return "inconclusive", f"not compared: no {name} is published"
    if any(taint(record) == UNPINNED for record in records):
        return "inconclusive", f"not compared: {UNPINNED}"
    chosen, which = _selected(records, name, table)
    found = judge_reference([100 * one for one in chosen], value, trained=trained)
    # The interval knows the spread of full-precision models only where each run has one of its own.
    starts = {record.part("start") for record in records}
    shared = len(records) > 1 and len(starts) == 1 and starts != {None}
    condition = "; all runs start from one full-precision model" if shared else ""
    text = f"{which}{name} {found.why}{condition}"
    if published.unknown is None:
        return found.status, text
    agrees = {"reproduced": "compatible", "not reproduced": "not compatible"}.get(found.status, "not decided")
    return "inconclusive", f"{agrees}, {published.unknown} unknown: {text}"


def _selected(records: Sequence[Record], name: str, table: PublishedTable) -> tuple[list[float], str]:
    """Like with like: the best evaluation of each run where the paper reports its best and the runs have several."""
    best = [record.best(name) for record in records]
    found = [one.metrics[name] for one in best if one is not None]
    if table.selection == "best" and len(found) == len(records):
        return found, "best "
    return [record.metrics[name] for record in records], ""
