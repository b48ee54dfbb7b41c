"""Cells below headings: what every table of a page is made of, whatever its format."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.errors import UsageError


class Column(NamedTuple):
    """A heading, and whether numbers stand below it."""

    heading: str
    numeric: bool = False


class Grid(NamedTuple):
    """Cells as plain text; each format escapes them for itself."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    """What stands above it."""


def filled(grid: Grid) -> Grid:
    """The grid without columns in which nothing stands."""
    return _of(grid, [k for k in range(len(grid.columns)) if any(row[k] for row in grid.rows)])


def only(grid: Grid, columns: Sequence[str]) -> Grid:
    """The grid with these columns alone, all where none are named; UsageError for one that it lacks."""
    headings = [column.heading for column in grid.columns]
    for name in columns:
        if name not in headings:
            raise UsageError(f"--columns {name}: the table has {', '.join(headings)}")
    return _of(grid, [headings.index(name) for name in columns or headings])


def _of(grid: Grid, kept: Sequence[int]) -> Grid:
    lines = tuple(tuple(row[k] for k in kept) for row in grid.rows)
    return Grid(tuple(grid.columns[k] for k in kept), lines, grid.title)
