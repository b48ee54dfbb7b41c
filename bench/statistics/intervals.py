"""What several training seeds say: Student's t, for runs that are independent draws of one normal distribution.

Values may be fractions or points; intervals come back in the same unit. scipy is imported where it is called:
`check` and `table` answer without it where every row has one run.
"""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev
from typing import NamedTuple

LEVEL = 0.95
"""Of every two-sided interval."""


class Interval(NamedTuple):
    """Both ends belong to it."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        """Whether a number lies in it."""
        return isinstance(value, float | int) and self.low <= value <= self.high

    @property
    def half_width(self) -> float:
        """Half the distance of its ends."""
        return (self.high - self.low) / 2


@cache
def t_quantile(probability: float, degrees: int) -> float:
    """The value below which a t variable of so many degrees of freedom lies with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def seed_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Of the mean that infinitely many seeds would have: m ± t·s/√n. ValueError for fewer than two values."""
    return _around(values, level, 1 / len(values) if values else 0)


def prediction_interval(
    values: Sequence[float], level: float = LEVEL, margin: float = 0.0, further: int = 1
) -> Interval:
    """Of the mean of `further` more runs, one by default: m ± (t·s·√(1/further + 1/n) + margin).

    A published number is one further draw, made by others: `margin` is what their code and machine may add.
    ValueError for fewer than two values.
    """
    low, high = _around(values, level, 1 / further + 1 / len(values) if values else 0)
    return Interval(low - margin, high + margin)


def _around(values: Sequence[float], level: float, variance: float) -> Interval:
    if len(values) < 2:
        raise ValueError(f"{len(values)} values have no spread: an interval needs two")
    half = t_quantile((1 + level) / 2, len(values) - 1) * stdev(values) * math.sqrt(variance)
    mean = fmean(values)
    return Interval(mean - half, mean + half)
