"""The loops of histograms and of searches on them, compiled by numba once and kept on disk; whoever imports this where
numba cannot compile gets its error."""

from typing import Any

import numpy as np
from numba import config, njit

if config.DISABLE_JIT:
    raise ImportError("numba is told to compile nothing")


@njit(cache=True)  # type: ignore[untyped-decorator]
def binned(x: Any, bins: Any, scale: float, first: int) -> int:
    """Add float32 values to `bins`, [n, 2] of counts and sums, and return the number of zeros.

    A value v goes into the bin floor(v * scale) - first.
    """
    zeros = 0
    for i in range(x.size):
        value = np.float64(x[i])
        if value == 0.0:
            zeros += 1
        else:
            k = int(np.floor(value * scale)) - first
            bins[k, 0] += 1.0
            bins[k, 1] += value
    return zeros


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def moments(values: Any, until: Any, sums: Any, steps: Any, lows: Any, highs: Any) -> Any:
    """Of each step the sums of code * value and of code^2 over all points.

    `until` and `sums` are the running sums of counts and of values, both beginning with 0.
    """
    cross, square = np.zeros(steps.size), np.zeros(steps.size)
    for k in range(steps.size):
        start, step = 0, steps[k]
        for code in range(lows[k], highs[k] + 1):
            stop = values.size
            if code < highs[k]:
                # The first point behind the tie between this code and the next one; on it a point goes to the even one.
                tie, below, stop, even = (code + 0.5) * step, start, values.size, code % 2 == 0
                while below < stop:
                    middle = (below + stop) // 2
                    if values[middle] < tie or (even and values[middle] == tie):
                        below = middle + 1
                    else:
                        stop = middle
            cross[k] += code * (sums[stop] - sums[start])
            square[k] += float(code) * code * (until[stop] - until[start])
            start = stop
    return cross, square
