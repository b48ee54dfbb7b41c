"""How well scores and boxes agree, from what records keep (`bench.evaluation.harmony`)."""

from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from bench.report.html.axis import Axis, axis
from bench.report.html.rows import Strip, label
from bench.report.sections import Section
from bench.verdict.faults import sound_runs

QUANTITIES = {
    "gap_share": ("pairs whose score and IoU differ by at most 0.1, percent of all pairs", 100.0, 1.0),
    "pearson": ("correlation of score and IoU over all pairs", 1.0, 0.05),
}
"""By its name in a record: words, factor, and the smallest range that is drawn."""


class Agreement(NamedTuple):
    """One quantity, a line a row."""

    words: str
    scale: Axis
    strips: tuple[Strip, ...]


def agreement(section: Section) -> Iterator[Agreement]:
    """Of each quantity that a record has."""
    for name, (words, factor, least) in QUANTITIES.items():
        runs = {
            row.row.id: [factor * run.harmony[name] for run in sound_runs(row) if name in run.harmony]
            for row in section.results.rows
        }
        scale = axis((value for values in runs.values() for value in values), least=least)
        strips = tuple(
            Strip(
                row.row.id,
                label(row.row),
                section.anchor(row.row.id),
                scale.at(fmean(values)),
                tuple((scale.at(value), f"{value:.3g}") for value in values),
            )
            for row in section.results.rows
            if (values := runs[row.row.id])
        )
        if strips:
            yield Agreement(words, scale, strips)
