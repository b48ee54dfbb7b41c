"""Lines in a box: training losses, the scores on the way, and whatever a method recorded along its search."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from bench.records.record import Record
from bench.report.html.axis import Axis, axis
from bench.report.html.rows import headline, label
from bench.report.sections import Section
from bench.verdict.faults import sound_runs


class Curves(NamedTuple):
    """Lines over one pair of axes; a line is the text of SVG's `points`, in percent."""

    title: str
    x: Axis
    y: Axis
    x_name: str
    y_name: str
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float, str], ...]


class RowCurves(NamedTuple):
    """How the runs of a row were trained."""

    label: str
    anchor: str | None
    drawn: tuple[Curves, ...]
    told: tuple[str, ...]
    """What has too few points for a line, in words."""


Series = Sequence[tuple[float, float]]
LEAST = 3
"""Points of a line. The form of one through two points says nothing."""


MOST_DOTS = 40


def curves(title: str, x_name: str, y_name: str, series: Sequence[Series], most_dots: int = MOST_DOTS) -> Curves:
    """Series of (x, y) over axes that hold them all; few points are drawn as dots too, with their numbers."""
    x = axis((x for line in series for x, _ in line), about=3)
    y = axis((y for line in series for _, y in line), about=4)
    lines = tuple(" ".join(f"{x.at(a):.2f},{100 - y.at(b):.2f}" for a, b in line) for line in series)
    points = [point for line in series for point in line]
    few = points if len(points) <= most_dots else []
    dots = tuple((x.at(a), 100 - y.at(b), f"{x_name} {a:g}: {b:.4g}") for a, b in few)
    return Curves(title, x, y, x_name, y_name, lines, dots)


def training(section: Section) -> Iterator[RowCurves]:
    """Of each row that was trained and says how: scores of its evaluations, and its losses."""
    metric = headline(section)
    for row in section.results.rows:
        runs = sound_runs(row)
        found = {metric: [_scores(run, metric) for run in runs], "loss": [_losses(run) for run in runs]}
        drawn, told = [], []
        for name, lines in found.items():
            if long := [line for line in lines if len(line) >= LEAST]:
                title, dots = ("loss", 0) if name == "loss" else (name, MOST_DOTS)
                drawn.append(curves(title, "step", name, long, dots))
            elif short := [line for line in lines if line]:
                told.append(f"{name} {_in_words(short)}")
        if drawn or told:
            yield RowCurves(label(row.row), section.anchor(row.row.id), tuple(drawn), tuple(told))


def _in_words(lines: Sequence[Series]) -> str:
    """`37.35 at step 675, 37.52 at step 900`, the means over the lines."""
    at: dict[int, list[float]] = {}
    for step, value in (point for line in lines for point in line):
        at.setdefault(math.ceil(step), []).append(value)
    words = ", ".join(f"{fmean(at[step]):#.4g} at step {step}" for step in sorted(at))
    return words if len(lines) == 1 else f"{words} (means of {len(lines)} runs)"


def _scores(run: Record, metric: str) -> Series:
    if run.training is None or not run.evaluations:
        return []
    found = [(one.step, one.metrics.get(metric, -1.0)) for one in run.evaluations]
    found.append((run.training.steps, run.metrics[metric]))
    return [(float(step), 100 * value) for step, value in sorted(found) if value >= 0]


def _losses(run: Record) -> Series:
    if run.training is None or not run.training.curve:
        return []
    part = run.training.steps / len(run.training.curve)
    return [((k + 0.5) * part, value) for k, value in enumerate(run.training.curve)]
