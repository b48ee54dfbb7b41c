"""What needs no assumption on how runs are distributed: an exact sign test, and runs that lie far below the others."""

from collections.abc import Sequence
from math import comb
from statistics import median

COLLAPSED = 5.0
"""A run has collapsed that lies below the median of the others by more than so many of their robust deviations."""
ROBUST = 1.4826
"""Turns the median distance from the median into a standard deviation where values are normal."""
FEWEST = 4
"""Runs of a row from which collapsed ones are looked for: three others have a spread of sorts."""


def sign_above(values: Sequence[float], value: float) -> float | None:
    """p that as many values or more lie above `value` if each is as likely to lie below; equal ones are left out.

    Of the median, which is the mean where the distribution is symmetric. None where all are equal to it.
    """
    return _tail(sum(one > value for one in values), sum(one < value for one in values))


def sign_below(values: Sequence[float], value: float) -> float | None:
    """The same of values below."""
    return _tail(sum(one < value for one in values), sum(one > value for one in values))


def collapsed(runs: Sequence[float]) -> int:
    """How many runs of a row have collapsed; 0 where fewer than `FEWEST` runs cannot tell."""
    if len(runs) < FEWEST:
        return 0
    return sum(_far_below(run, [*runs[:i], *runs[i + 1 :]]) for i, run in enumerate(runs))


def _far_below(run: float, others: Sequence[float]) -> bool:
    middle = median(others)
    deviation = ROBUST * median(abs(other - middle) for other in others)
    return run < middle - COLLAPSED * deviation


def _tail(hits: int, misses: int) -> float | None:
    n = hits + misses
    return sum(comb(n, k) for k in range(hits, n + 1)) / 2**n if n else None
