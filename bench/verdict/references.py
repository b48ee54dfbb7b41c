"""Published numbers beside the rows that they belong to, and what may be said of them."""

from bench.errors import UsageError
from bench.spec.load import Located
from bench.spec.messages import validate
from bench.spec.published import PublishedFile, PublishedRow, PublishedTable
from bench.spec.source import load_mapping
from bench.spec.suite import Row
from bench.verdict.faults import fault
from bench.verdict.gather import Results, RowResult
from bench.verdict.verdicts import Status, Verdict


def published_table(located: Located) -> PublishedTable | None:
    """The table that the suite names, None where it names none; UsageError where it is absent or wrong."""
    named = located.suite.published
    if named is None:
        return None
    path = located.root / "baselines" / "published" / f"{named.file}.yaml"
    if not path.is_file():
        raise UsageError(f"{located.path}: there is no file {path} of published numbers")
    tables = validate(PublishedFile, load_mapping(path)).tables
    table = next((table for table in tables if table.id == named.table), None)
    if table is None:
        raise UsageError(
            f"{located.path}: {path} has no table {named.table!r}; it has {', '.join(t.id for t in tables)}"
        )
    for row in located.suite.rows:
        if row.published is not None and row.published not in {published.id for published in table.rows}:
            raise UsageError(f"{located.path}: row {row.id!r}: {table.id} has no row {row.published!r}")
    return table


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


def _judge(
    results: Results, row: RowResult, published: PublishedRow, table: PublishedTable
) -> tuple[Status, str]:
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
