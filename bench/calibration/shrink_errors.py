"""The error |x - q(x)|^p of many step sizes, near enough to tell which of them can be the smallest. Errors are
positive: where their sum over some values is above the smallest whole one, the others need not be looked at.

Compiled by numba once and kept on disk; whoever imports this where numba cannot compile gets its error.
"""

import functools
from typing import Any

import numpy as np
from numba import config, njit
from numpy.typing import NDArray

if config.DISABLE_JIT:
    raise ImportError("numba is told to compile nothing")

CELLS = 1024
"""Of the table of u^p in one step."""
NEAR = 32
"""Cells, or bins, next to 0: so near the power is computed, and values are put into bins by their leading bits."""
REACH = 16
"""Steps that the table covers: few values lie farther outside of the codes."""
CHUNK = 256
"""Values between two looks at the sum."""
COARSE = 8
"""Every so many steps are tried first: after them a good one is known."""
BINS = 2**19
"""A tensor of more values than this is put into as many bins, each with the mean of its values: at 8 bits a step of the
narrowest range that is tried is 120 bins wide."""

ROUND = 1.5 * 2.0**52

Floats = NDArray[np.float64]


def near_best(
    x: NDArray[np.float32], steps: Floats, low: int, high: int, p: float, slack: float, floor: float
) -> list[int]:
    """The steps, ascending, whose mean of |q(x) - x|^p comes near to the smallest.

    Args:
        x: finite values, one dimension.
        steps: the step sizes, one dimension.
        low: the smallest code, that of 0 being 0.
        high: the largest code.
        p: exponent.
        slack: near is (1 + slack) times the smallest mean,
        floor: and this more.
    """
    values = np.sort(x)
    # The largest values first: of a step that is too small they tell at once.
    ends = np.empty(x.size)
    ends[0::2], ends[1::2] = values[: -(-x.size // 2)], values[::-1][: x.size // 2]
    counts = np.ones(x.size)
    if x.size > BINS:
        counts, ends = _bins(x, float(values[0]), float(values[-1]))
    lows, highs = np.full(steps.size, float(low)), np.full(steps.size, float(high))
    found = errors(ends, counts, steps, lows, highs, p, slack, floor * x.size)
    return np.flatnonzero(found <= found.min() * (1 + slack) + floor * x.size).tolist()


def errors(
    values: Floats, counts: Floats, steps: Floats, lows: Floats, highs: Floats, p: float, slack: float = 0.0,
    floor: float = 0.0,
) -> Floats:  # fmt: skip
    """Of each step the sum of |q(x) - x|^p over points; infinite for one that is out of the question already.

    Args:
        values: the points, in the order in which they are looked at.
        counts: how many values each of them stands for.
        steps: the step sizes.
        lows: of each step the smallest code, that of 0 being 0.
        highs: of each step the largest code.
        p: exponent.
        slack: a step is out of the question above (1 + slack) times the smallest sum,
        floor: and this more.
    """
    grid = np.arange(steps.size)
    order = np.concatenate([grid[::COARSE], np.delete(grid, grid[::COARSE])])
    found: Floats = _errors(values, counts, steps, order, lows, highs, p, _powers(p), slack, floor)
    return found


@functools.cache
def _powers(p: float) -> Floats:
    """u^p on a grid of 1 / CELLS, after it on one that is NEAR times finer for the first NEAR of these cells."""
    far, near = np.arange(REACH * CELLS + 2) / CELLS, np.arange(NEAR * NEAR + 2) / (CELLS * NEAR)
    powers: Floats = np.concatenate([far, near]) ** p
    return powers


def _bins(x: NDArray[np.float32], low: float, high: float) -> tuple[Floats, Floats]:
    """How many values each bin that is not empty has, and their mean."""
    counts, sums = _histogram(x, x.view(np.int32), low, (BINS - 1) / max(high - low, 1e-300))
    filled = counts > 0
    return counts[filled], sums[filled] / counts[filled]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _histogram(x: Any, bits: Any, low: float, scale: float) -> Any:
    counts, sums = np.zeros(2 * BINS), np.zeros(2 * BINS)
    for i in range(x.size):
        value = np.float64(x[i])
        k = int((value - low) * scale)
        if abs(value) * scale < NEAR:
            # Sign, exponent and ten bits of the fraction.
            k = BINS + ((bits[i] >> 13) & (BINS - 1))
        counts[k] += 1.0
        sums[k] += value
    return counts, sums


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _errors(
    values: Any, counts: Any, steps: Any, order: Any, lows: Any, highs: Any, p: float, powers: Any, slack: float,
    floor: float,
) -> Any:  # fmt: skip
    found = np.full(steps.size, np.inf)
    best = np.inf
    for k in order:
        per_step, unit = 1.0 / steps[k], steps[k] ** p
        low, high = lows[k], highs[k]
        limit = (best * (1 + slack) + floor) / unit
        total, start = 0.0, 0
        while start < values.size and total <= limit:
            stop = min(start + CHUNK, values.size)
            for i in range(start, stop):
                v = values[i] * per_step
                # Half to even: the sum has no room for a fraction.
                code = min(max((v + ROUND) - ROUND, low), high)
                at = abs(v - code) * CELLS
                if NEAR <= at < REACH * CELLS:
                    cell = np.int32(at)
                    total += counts[i] * (powers[cell] + (at - cell) * (powers[cell + 1] - powers[cell]))
                elif 1.0 <= at < NEAR:
                    at *= NEAR
                    cell = np.int32(at)
                    rest = at - cell
                    cell += REACH * CELLS + 2
                    total += counts[i] * (powers[cell] + rest * (powers[cell + 1] - powers[cell]))
                elif at > 0.0:
                    total += counts[i] * abs(v - code) ** p
            start = stop
        if total <= limit:
            found[k] = total * unit
            best = min(best, found[k])
    return found
