"""Published numbers beside the rows that they belong to, and what may be said of them."""

from bench.spec.load import Located
from bench.spec.publications import load_published
from bench.spec.published import PublishedRow, PublishedTable
from bench.spec.suite import Row
from bench.verdict.faults import fault
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
    """One verdict for each row that has a published number."""
    verdicts = []
    for row in results.rows:
        published = published_row(row.row, table)
        if table is not None and published is not None:
            status, message = _judge(results, row, published, table)
            verdicts.append(Verdict("reference", row.row.id, None, status, message))
    return verdicts


def _judge(results: Results, row: RowResult, published: PublishedRow, table: PublishedTable) -> tuple[Status, str]:
    if row.row.reported_only is not None:
        return "not run", row.row.reported_only
    if results.tier != "paper":
        return "not run", "not run at tier paper"
    sound = sum(result.record is not None and fault(result) is None for result in row.jobs)
    if not sound:
        return "not run", "there is no result"
    variant = results.located.suite.tiers[results.tier].metric.variant
    if table.metric != variant:
        return "inconclusive", f"not compared: metric {variant}, published {table.metric}"
    if not published.gate:
        return (
            "inconclusive",
            f"no verdict may rest on this number ({published.doubtful or f'trust: {table.trust}'})",
        )
    if sound == 1:
        return "inconclusive", "one run has no interval over seeds"
    return "inconclusive", f"{sound} runs; their interval is not computed"
