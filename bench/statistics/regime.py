"""Whether rows are in the situation that a claim is about, as far as their runs can tell. Points of the metric."""

from collections.abc import Sequence
from typing import Literal

from bench.statistics.intervals import seed_interval

Regime = Literal["in", "out", "borderline"]
LEAST_AP = 15.0
"""A full-precision model below it has learned too little to carry a claim."""
MOST_LEFT = 1.0
"""One that its control, the same model trained on, beats by more than this was not trained to its end."""


def regime(values: Sequence[float], limit: float) -> Regime:
    """Where the mean loss lies of the most that may be lost, by its two-sided 95 % interval.

    `in`: the whole interval is at or below the limit; `out`: it is above. One value has no interval: `borderline`.
    """
    if len(values) < 2:
        return "borderline"
    low, high = seed_interval(values)
    return "in" if high <= limit else "out" if low > limit else "borderline"


def worst(found: Sequence[Regime]) -> Regime:
    """Of several limits: `out` if one is, else `borderline` if one is."""
    return "out" if "out" in found else "borderline" if "borderline" in found else "in"
