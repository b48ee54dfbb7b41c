"""What quantization does to each category: the change against the row's control, in points."""

from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

from bench.report.categories import categories as find_groups
from bench.report.categories import enriched
from bench.report.html.rows import headline, label
from bench.report.sections import Section
from bench.schema.suite import Row
from bench.verdict.faults import sound_runs
from bench.verdict.gather import RowResult

FULL = 20.0
"""Points at which a cell has its whole colour."""


class Change(NamedTuple):
    """A cell: the change in points and how strong its colour is, in percent."""

    points: float
    strength: float


class Categories(NamedTuple):
    """Categories from the most to the least hurt on average, and for each row its changes; rows that change the same
    share a column."""

    metric: str
    heads: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Label of a row, that of its control, and those of the rows that change the same."""
    lines: tuple[tuple[str, tuple[Change | None, ...]], ...]


def categories(section: Section) -> Categories | None:
    """None where no row has a control with numbers by category."""
    metric = headline(section)
    whole = enriched(section.results, find_groups(section.results).columns)
    results = {row.row.id: row for row in whole.rows}
    columns: dict[tuple[str, tuple[tuple[str, float], ...]], list[str]] = {}
    for row in whole.rows:
        control = results.get(control_of(section, row.row) or "")
        if control is None:
            continue
        own, other = (by_category(one, metric) for one in (row, control))
        changes = {name: 100 * (own[name] - other[name]) for name in own if name in other}
        if changes:
            columns.setdefault((label(control.row), tuple(changes.items())), []).append(label(row.row))
    if not columns:
        return None
    every = [dict(changes) for _, changes in columns]
    names = dict.fromkeys(name for changes in every for name in changes)
    average = {name: fmean(changes[name] for changes in every if name in changes) for name in names}
    lines = tuple(
        (name, tuple(_change(changes.get(name)) for changes in every))
        for name in sorted(names, key=lambda name: average[name])
    )
    heads = tuple((first, control, tuple(others)) for (control, _), (first, *others) in columns.items())
    return Categories(metric, heads, lines)


def control_of(section: Section, row: Row) -> str | None:
    """The row that it is compared with: that which the suite's `regime` names for it, or for a row of its detector,
    bits and schedule; else the one of its detector that it starts from."""
    suite = section.results.located.suite
    limits = {limit.row: limit.reference for limit in reversed(suite.regime)}
    alike = (suite.row(name) for name in limits)
    found = (one.id for one in alike if (one.detector, one.bits, one.recipe) == (row.detector, row.bits, row.recipe))
    start = row.start if row.start is not None and suite.row(row.start).detector == row.detector else None
    return limits.get(row.id) or limits.get(next(found, ""), start)


def by_category(row: RowResult, metric: str) -> Mapping[str, float]:
    """The mean of each category over the runs; groups of categories, as `group NAME`, beside them."""
    runs = sound_runs(row)
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, numbers in run.per_category.items():
            found.setdefault(name, []).append(numbers.get(metric, -1.0))
        for name, value in run.metrics.items():
            group, dot, what = name.rpartition(".")
            if dot and what == metric:
                found.setdefault(f"group {group}", []).append(value)
    return {name: fmean(values) for name, values in found.items() if min(values) >= 0 and len(values) == len(runs)}


def _change(points: float | None) -> Change | None:
    return None if points is None else Change(points, round(min(abs(points) / FULL, 1.0) * 55))
