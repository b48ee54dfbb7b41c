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
    """Categories from the most to the least hurt on average, and for each row its changes."""

    metric: str
    heads: tuple[tuple[str, str, str | None], ...]
    """Label of a row, that of its control, and where its runs are."""
    lines: tuple[tuple[str, tuple[Change | None, ...]], ...]


def categories(section: Section) -> Categories | None:
    """None where no row has a control with numbers by category."""
    metric = headline(section)
    whole = enriched(section.results, find_groups(section.results).columns)
    results = {row.row.id: row for row in whole.rows}
    columns = []
    for row in whole.rows:
        control = results.get(control_of(section, row.row) or "")
        if control is None:
            continue
        own, other = (by_category(one, metric) for one in (row, control))
        changes = {name: 100 * (own[name] - other[name]) for name in own if name in other}
        if changes:
            columns.append((row.row, control.row, changes))
    if not columns:
        return None
    names = dict.fromkeys(name for _, _, changes in columns for name in changes)
    average = {name: fmean(c[name] for _, _, c in columns if name in c) for name in names}
    lines = tuple(
        (name, tuple(_change(changes.get(name)) for _, _, changes in columns))
        for name in sorted(names, key=lambda name: average[name])
    )
    heads = tuple((label(row), label(control), section.anchor(row.id)) for row, control, _ in columns)
    return Categories(metric, heads, lines)


def control_of(section: Section, row: Row) -> str | None:
    """The row that it is compared with: that which the suite's `regime` names for it, or for a row of its detector,
    bits and schedule; else the one it starts from."""
    suite = section.results.located.suite
    limits = {limit.row: limit.reference for limit in reversed(suite.regime)}
    alike = (suite.row(name) for name in limits)
    found = (one.id for one in alike if (one.detector, one.bits, one.recipe) == (row.detector, row.bits, row.recipe))
    return limits.get(row.id) or limits.get(next(found, ""), row.start)


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
