"""The rows of a suite: the table with a way to each number's runs, and each repetition as a point."""

import re
from typing import NamedTuple

from bench.evaluation.metric import metric_of
from bench.report.claim_words import metric_words
from bench.report.html.axis import Axis, axis, signed
from bench.report.notes import is_stale
from bench.report.sections import Section
from bench.report.table import Table
from bench.schema.suite import Row
from bench.verdict.faults import sound_runs


class Cell(NamedTuple):
    """One cell; `runs` is the anchor of the runs that a number was computed from."""

    text: str
    numeric: bool = False
    runs: str | None = None
    sort: float | None = None


class TableLine(NamedTuple):
    """A row, and whether it is a reconstruction of ours."""

    row: str
    cells: tuple[Cell, ...]
    marks: dict[str, str]
    """What a reader of its numbers must know, by the tag that says it: what that means."""


class Strip(NamedTuple):
    """The runs of a row as points: place and words of each."""

    row: str
    label: str
    anchor: str | None
    mean: float
    runs: tuple[tuple[float, str], ...]


class Rows(NamedTuple):
    """Table and points of a suite."""

    headings: tuple[tuple[str, bool], ...]
    lines: tuple[TableLine, ...]
    metric: str
    scale: Axis
    strips: tuple[Strip, ...]
    """Of rows with several runs: one point says no more than the table does."""

    @property
    def detector(self) -> int | None:
        """The column of detectors, which a phone shows below the method."""
        return next((k for k, (heading, _) in enumerate(self.headings) if heading == "detector"), None)


def headline(section: Section) -> str:
    """The metric that stands first."""
    return metric_of(section.results.located.suite.tiers[section.tier].metric).headline


def rows(section: Section) -> Rows:
    """Of one section; with an earlier revision the change of the mean is one more column."""
    table, metric = section.table, headline(section)
    change = (f"change of {metric}", True)
    shown = [k for k, column in enumerate(table.columns) if not (column.numeric and _is_empty(table, k))]
    headings = [(metric_words(table.columns[k].heading), table.columns[k].numeric) for k in shown]
    lines = []
    for row, line in zip(table.row_ids, table.rows, strict=True):
        texts = [line[k] for k in shown]
        cells = [_cell(text, numeric, section.anchor(row)) for text, (_, numeric) in zip(texts, headings, strict=True)]
        if section.before is not None:
            cells.insert(_after_metrics(headings), _change(table, section.before, row, metric))
        lines.append(TableLine(row, tuple(cells), _marks(section, row)))
    if section.before is not None:
        headings.insert(_after_metrics(headings), change)
    scale, strips = _strips(section, metric)
    return Rows(tuple(headings), tuple(lines), metric, scale, strips)


def _is_empty(table: Table, column: int) -> bool:
    """Whether no row has anything there, such as a best score where nothing was trained."""
    return bool(table.rows) and not any(line[column] for line in table.rows)


def _marks(section: Section, row: str) -> dict[str, str]:
    found = next(one for one in section.results.rows if one.row.id == row)
    marks = {}
    if found.row.reconstruction is not None:
        marks["reconstruction"] = found.row.reconstruction
    if any(is_stale(job) for job in found.jobs):
        marks["earlier settings"] = "measured before the suite declared what it declares now; no claim counts it"
    return marks


def _after_metrics(headings: list[tuple[str, bool]]) -> int:
    return [heading for heading, _ in headings].index("runs")


def _cell(text: str, numeric: bool, anchor: str | None) -> Cell:
    number = re.match(r"\d+(\.\d+)?", text) if numeric else None
    return Cell(text, numeric, anchor if number else None, float(number[0]) if number else None)


def _change(now: Table, before: Table, row: str, metric: str) -> Cell:
    """The difference of the means in points; empty where either has none."""
    means = [
        next((100 * r["mean"][metric] for r in table.content["rows"] if r["id"] == row and metric in r["mean"]), None)
        for table in (now, before)
    ]
    if means[0] is None or means[1] is None:
        return Cell("new" if means[0] is not None else "gone" if means[1] is not None else "", True)
    moved = means[0] - means[1]
    return Cell(signed(moved) if round(moved, 2) else "0", True, sort=moved)


def _strips(section: Section, metric: str) -> tuple[Axis, tuple[Strip, ...]]:
    values = {
        row.row.id: [(r.provenance.asked, 100 * r.metrics[metric]) for r in sound_runs(row)]
        for row in section.results.rows
        if len(sound_runs(row)) > 1
    }
    scale = axis((value for runs in values.values() for _, value in runs), least=1.0)
    strips = []
    for row in section.results.rows:
        if runs := values.get(row.row.id):
            points = tuple(
                (scale.at(value), f"repetition {asked.seed if asked else '?'}: {value:.2f}") for asked, value in runs
            )
            mean = scale.at(sum(value for _, value in runs) / len(runs))
            strips.append(Strip(row.row.id, label(row.row), section.anchor(row.row.id), mean, points))
    return scale, tuple(strips)


def label(row: Row) -> str:
    """Method and bits, as tables call a row."""
    return f"{row.label} {row.bits}"
