"""A table as plain text that fits the terminal: nothing escaped, nothing folded away."""

from collections.abc import Iterator, Sequence

from bench.report.grid import Grid
from bench.report.layout import fold, table
from bench.report.table import Table


def text(tables: Sequence[Table], command: str) -> str:
    """All tables; the command that made them stands above the reader's eyes already."""
    return "\n\n\n".join("\n\n".join(_parts(one)) for one in tables) + "\n"


def grid_text(grid: Grid) -> str:
    """Cells below headings, with the title above."""
    numeric = [k for k, column in enumerate(grid.columns) if column.numeric]
    cells = table([column.heading for column in grid.columns], grid.rows, numeric)
    return f"{fold(grid.title)}:\n{cells}" if grid.title else cells


def _parts(one: Table) -> Iterator[str]:
    yield fold(one.title)
    yield fold(one.answer)
    yield fold(f"Measured on {one.data}, tier {one.tier}; suite {one.suite}.")
    if one.caution is not None:
        yield fold(one.caution)
    yield grid_text(one.measured)
    yield from map(grid_text, filter(None, (one.waiting, *one.claims, one.paper)))
    if one.notes or one.on_claims:
        yield _list((*one.notes, *one.on_claims))
    if one.provenance:
        yield f"Where these numbers come from:\n{_list(one.provenance)}"


def _list(notes: Sequence[str]) -> str:
    return "\n".join(fold(f"* {' '.join(note.split())}") for note in notes)
