"""Published numbers beside the rows that they belong to, and what may be said of them."""

from bench.spec.load import Located
from bench.spec.publications import load_published
from bench.spec.published import PublishedRow, PublishedTable
from bench.spec.suite import Row
from bench.verdict.faults import fault, sound_external, taint
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
    sound = sum(result.record is not None and fault(result) is None for result in row.jobs)
    found = []
    if sound or not external:
        status, message = _judge_measured(results, row, sound, published, table)
        found.append(Verdict("reference", row.row.id, None, status, message))
    if external:
        status, message = _judge_runs(results, len(external), published, table)
        found.append(Verdict("reference", row.row.id, None, status, message, taint(external[0])))
    return found


def _judge_measured(
    results: Results, row: RowResult, sound: int, published: PublishedRow, table: PublishedTable
) -> tuple[Status, str]:
    if row.row.reported_only is not None:
        return "not run", row.row.reported_only
    if results.tier != "paper":
        return "not run", "not run at tier paper"
    if not sound:
        return "not run", "there is no result"
    return _judge_runs(results, sound, published, table)


def _judge_runs(results: Results, runs: int, published: PublishedRow, table: PublishedTable) -> tuple[Status, str]:
    variant = results.located.suite.tiers[results.tier].metric.variant
    if table.metric != variant:
        return "inconclusive", f"not compared: metric {variant}, published {table.metric}"
    if not published.gate:
        return (
            "inconclusive",
            f"no verdict may rest on this number ({published.doubtful or f'trust: {table.trust}'})",
        )
    if runs == 1:
        return "inconclusive", "one run has no interval over seeds"
    return "inconclusive", f"{runs} runs; their interval is not computed"
