"""Accuracy against what a detector costs, over all suites: a picture a data set, since no other AP is comparable."""

import json
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from bench.errors import BenchError
from bench.report.html.axis import Axis, axis, log_axis, short
from bench.report.html.rows import headline, label
from bench.report.make import cost_file
from bench.report.notes import is_stale
from bench.report.sections import Section
from bench.verdict.faults import sound_runs

Kind = Literal["bytes", "bops"]
UNITS: dict[Kind, str] = {"bytes": "bytes of the parameters", "bops": "bit operations of one pass"}


class Point(NamedTuple):
    """A row: its mean accuracy and its cost, as numbers and as places."""

    label: str
    suite: str
    detector: str
    anchor: str | None
    ap: float
    bytes: int
    bops: int
    earlier: bool
    """Whether its runs are of an earlier protocol."""

    def cost(self, kind: Kind) -> int:
        """In bytes or in bit operations."""
        return self.bytes if kind == "bytes" else self.bops


class Cloud(NamedTuple):
    """The rows of one data set against one cost."""

    kind: Kind
    x: Axis
    y: Axis
    places: tuple[tuple[Point, float, float, bool, str], ...]
    """Each point with its place and whether no other one is both cheaper and better; its words. Those stand last, so
    that they are drawn above the others."""

    @property
    def front(self) -> list[Point]:
        """Those points, from the cheapest."""
        return sorted(
            (point for point, _, _, front, _ in self.places if front), key=lambda point: point.cost(self.kind)
        )


class Field(NamedTuple):
    """One data set at one tier."""

    tier: str
    data: str
    metric: str
    points: tuple[Point, ...]
    clouds: tuple[Cloud, ...]
    detectors: dict[str, int]
    """Each with the number of its mark, which is the same in all pictures."""


def fields(sections: Sequence[Section]) -> list[Field]:
    """By data set, tier and metric; only rows whose cost was kept and that have a result on the test split."""
    found: dict[tuple[str, str, str], dict[str, Point]] = {}
    for section in sections:
        own = found.setdefault((section.tier, section.table.data, headline(section)), {})
        for runs, point in _points(section):
            own.setdefault(runs, point)  # suites may share a job, which is one point
    shown = {key: [*points.values()] for key, points in found.items() if len(points) > 1}
    detectors = dict.fromkeys(point.detector for points in shown.values() for point in points)
    numbers = {detector: number for number, detector in enumerate(detectors)}
    return [_field(key, points, numbers) for key, points in shown.items()]


def costs(section: Section) -> dict[str, dict[str, int]]:
    """By row what `show --cost --keep` wrote; empty where it has not run."""
    path = cost_file(section.results.located, section.tier)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {row["id"]: {kind: int(row[kind]) for kind in UNITS} for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise BenchError(f"{path}: cannot be read; `qdet-bench show SUITE --cost --keep` writes it anew") from None


def _points(section: Section) -> Iterator[tuple[str, Point]]:
    """Of each row what names its runs, and its point."""
    known, metric = costs(section), headline(section)
    for row in section.results.rows:
        runs = sound_runs(row)
        if runs and row.row.id in known and row.row.scored == "test":
            ap = fmean(100 * run.metrics[metric] for run in runs)
            cost = known[row.row.id]
            anchor = section.anchor(row.row.id)
            earlier = any(map(is_stale, row.jobs))
            point = Point(
                label(row.row), section.name, row.row.detector, anchor, ap, cost["bytes"], cost["bops"], earlier
            )
            yield " ".join(f"{run.identity}-{run.environment_key}" for run in runs), point


def _field(key: tuple[str, str, str], points: list[Point], numbers: dict[str, int]) -> Field:
    tier, data, metric = key
    y = axis((point.ap for point in points), least=2.0)
    clouds = tuple(_cloud(kind, points, y) for kind in UNITS)
    own = {point.detector: numbers[point.detector] for point in points}
    return Field(tier, data, metric, tuple(points), clouds, own)


def _cloud(kind: Kind, points: Sequence[Point], y: Axis) -> Cloud:
    x = log_axis(point.cost(kind) for point in points)
    places = tuple(
        (
            point,
            x.at(point.cost(kind)),
            100 - y.at(point.ap),
            on_front(point, points, kind),
            f"{point.label}, {point.detector} ({point.suite}): {point.ap:.2f} at {short(point.cost(kind))}",
        )
        for point in points
    )
    return Cloud(kind, x, y, tuple(sorted(places, key=lambda place: place[3])))


def on_front(point: Point, points: Sequence[Point], kind: Kind) -> bool:
    """Whether no other row is at least as good for less, or better for as much."""
    return not any(
        other.ap >= point.ap
        and other.cost(kind) <= point.cost(kind)
        and (other.ap, -other.cost(kind)) != (point.ap, -point.cost(kind))
        for other in points
    )
