"""Differences of runs that share a seed, their one-sided tests, and Holm's correction.

Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
"""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev
from typing import NamedTuple

from bench.statistics.intervals import t_quantile

ALPHA = 0.05
"""Of all one-sided tests of a family of claims together."""
POWER = 0.8


class Paired(NamedTuple):
    """n differences over seeds."""

    n: int
    mean: float
    deviation: float
    """Sample standard deviation."""

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Paired":
        """ValueError for fewer than two: one difference has no spread."""
        if len(differences) < 2:
            raise ValueError(f"{len(differences)} differences have no spread: a bound needs two")
        return cls(len(differences), fmean(differences), stdev(differences))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.deviation / math.sqrt(self.n)

    def lower(self, alpha: float = ALPHA) -> float:
        """One-sided bound: the true difference lies above it with confidence 1 - alpha."""
        return self.mean - t_quantile(1 - alpha, self.n - 1) * self.error

    def upper(self, alpha: float = ALPHA) -> float:
        """One-sided bound: the true difference lies below it with confidence 1 - alpha."""
        return self.mean + t_quantile(1 - alpha, self.n - 1) * self.error

    def p_above(self, value: float = 0.0) -> float:
        """Of the hypothesis that the true difference is at most `value`; at most alpha where `lower` >= value."""
        return _tail(self.mean - value, self.error, self.n - 1)

    def p_below(self, value: float) -> float:
        """Of the hypothesis that the true difference is at least `value`."""
        return _tail(value - self.mean, self.error, self.n - 1)

    def detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """The true difference that `lower(alpha) > 0` finds with this power, the deviation being the true one."""
        return _noncentrality(self.n - 1, alpha, power) * self.error


def interaction(gain: Sequence[float], other: Sequence[float]) -> list[float]:
    """Seed by seed, by how much one gain exceeds the other, as a gain at INT2 that in full precision."""
    return [one - two for one, two in zip(gain, other, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: one of at most alpha is rejected at family-wise level alpha."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@cache
def _noncentrality(degrees: int, alpha: float, power: float) -> float:
    """Of a t variable that lies above t(1 - alpha) with probability `power`."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - power, t_quantile(1 - alpha, degrees)))


def _tail(distance: float, error: float, degrees: int) -> float:
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(degrees, -distance / error))
