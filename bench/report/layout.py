"""Text for a terminal: tables and sentences that fit its width, and long texts that repeat said once."""

import os
import shutil
import sys
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from tabulate import tabulate

LEAST = 20
"""Columns; what is narrower is no terminal that somebody reads."""
_GAP = 2
_LONG = 30
"""Characters of a text that is worth a note of its own."""


def width() -> int | None:
    """Columns of the terminal, or of the variable COLUMNS; None where the output goes elsewhere and may be as wide."""
    given = os.environ.get("COLUMNS", "")
    if not sys.stdout.isatty() and not given.isdecimal():
        return None
    return max(LEAST, shutil.get_terminal_size().columns)


def fold(text: str) -> str:
    """Each line broken at spaces to fit; what follows is indented by two more. A long word, such as a path, stays."""
    columns = width()
    return text if columns is None else "\n".join(_folded(line, columns) for line in text.splitlines())


def _folded(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(
        line.strip(),
        columns,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    """Cells below headings; the columns `numeric` stand to the right. Where it does not fit, empty columns go first,
    then the widest are broken at spaces."""
    right, columns = set(numeric), width()
    lines, used = [headings, *rows], list(range(len(headings)))
    if columns is not None and _taken(_natural(lines)) > columns:
        used = [k for k in used if not rows or any(row[k] for row in rows)]
        lines = [[line[k] for k in used] for line in lines]
    text = tabulate(
        lines,
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if k in right else "left" for k in used],
        maxcolwidths=None if columns is None else _limits(lines, columns),
        break_on_hyphens=False,
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def _natural(lines: Sequence[Sequence[str]]) -> list[int]:
    """Width of each column."""
    return [max(map(cell_len, column)) for column in zip(*lines, strict=True)]


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _limits(lines: Sequence[Sequence[str]], columns: int) -> list[int] | None:
    """The most characters of each column so that all fit; None where they do without."""
    natural = _natural(lines)
    if _taken(natural) <= columns:
        return None
    words = [
        max(cell_len(word) for text in column for word in (text.split() or [""])) for column in zip(*lines, strict=True)
    ]
    # Whole words where there is room for them; else the widest columns break theirs.
    for least in (words, [1] * len(words)):
        for most in range(max(natural), 0, -1):
            limits = [min(wide, max(most, low, 1)) for wide, low in zip(natural, least, strict=True)]
            if _taken(limits) <= columns:
                return limits
    return [1] * len(words)


def collapse(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts with long ones that repeat replaced by a mark such as (1), and the notes that the marks stand for."""
    often = [text for text, count in Counter(texts).items() if count > 1 and len(text) > _LONG]
    marks = {text: f"({number})" for number, text in enumerate(often, start=1)}
    return [marks.get(text, text) for text in texts], [f"{mark} {text}" for text, mark in marks.items()]


def cell_len(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else not unicodedata.combining(one) for one in text)


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers: `3`; `3 to 7`; `3, 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = (f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return ", ".join(words)
