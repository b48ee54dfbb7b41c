"""The paper's numbers as a table of their own: they are of other data, or of one run, and stand beside nothing."""

from bench.report.grid import Column, Grid
from bench.report.wording import printed
from bench.schema.published import PublishedTable
from bench.verdict.gather import Results
from bench.verdict.references import published_row


def paper_grid(results: Results, table: PublishedTable | None) -> Grid | None:
    """A line a row that the paper has; None where it has none of them."""
    found = [(row.row, published) for row in results.rows if (published := published_row(row.row, table)) is not None]
    if table is None or not found:
        return None
    names = tuple(dict.fromkeys(name for _, published in found for name in published.metrics))
    detectors = len({row.detector for row in (one.row for one in results.rows)}) > 1
    sets = ", ".join(dict.fromkeys(published.dataset for _, published in found))
    columns = (
        Column("method"),
        Column("W/A"),
        *([Column("detector")] if detectors else []),
        *(Column(name, numeric=True) for name in names),
    )
    lines = (
        (
            row.label,
            str(row.bits),
            *([row.detector] if detectors else []),
            *(printed(published, name) for name in names),
        )
        for row, published in found
    )
    return Grid(columns, tuple(lines), f"What the paper prints ({sets})")
