"""Cells below headings: what every table of a page is made of, whatever its format."""

from typing import NamedTuple


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
