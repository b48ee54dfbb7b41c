"""Searches of the observers: over shrunken ranges and over powers of two (MQBench 00f477d)."""

import functools
import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.quantization.functional import Rounding, mqbench_codes

SHRINK_STEPS = 95
"""MQBench's MSE observer tries the range shrunk by 0, 1, ... 94 percent (per tensor)."""
CHANNEL_SHRINK_STEPS = 80
"""Per channel it tries 0, 1, ... 79 percent."""
MAX_EXPONENT = 12
"""MQBench's power-of-two observer takes no step below 2^-12."""
SLACK = 1e-3
"""Relative distance within which two errors count as equal until they are computed in float32.

At 8 bits a float32 difference |q(x) - x| has a relative rounding error of about 1e-4, at fewer bits a smaller one.
"""


UNDERFLOW = 1e-36
"""Errors below this may be 0 in float32, and equal."""


def shrink(x: Tensor, steps: list[float], zero_point: int, qmin: int, qmax: int, p: float) -> int:
    """The first i with the smallest mean of |q_i(x) - x|^p, q_i having the step `steps[i]`.

    A search in float64 first drops the steps that cannot be the best: for p = 2 on the sorted values, else by the
    tables of `shrink_errors`. Those whose error comes within SLACK of the smallest are compared as MQBench compares
    them, computed in float32, so that its choice is ours.

    Args:
        x: tensor of any shape.
        steps: step sizes.
        zero_point: the integer code of 0.
        qmin: the smallest integer code.
        qmax: the largest integer code.
        p: exponent.
    """
    candidates: Iterable[int] = range(len(steps))
    if qmax - qmin <= 255 and x.is_cpu and x.dtype == torch.float32 and bool(torch.isfinite(x).all()):
        codes = (qmin - zero_point, qmax - zero_point)
        candidates = _near_best(x, steps, *codes) if p == 2 else _near_best_power(x, steps, *codes, p)
    best, best_error = 0, float("inf")
    for i in candidates:
        quantized = torch.fake_quantize_per_tensor_affine(x, steps[i], zero_point, qmin, qmax)
        error = float((quantized - x).abs().pow_(p).mean())
        if error < best_error:
            best, best_error = i, error
    return best


def _near_best(x: Tensor, steps: list[float], low: int, high: int) -> list[int]:
    """The steps whose squared error comes within SLACK of the smallest, ascending; codes are `low` to `high`."""
    values = np.sort(x.detach().numpy(), axis=None)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    energy = float(np.square(values, dtype=np.float64).sum())
    codes = np.arange(low, high + 1)
    errors = []
    for step in steps:
        # sum (x - c s)^2 = sum x^2 - 2 s sum c x + s^2 sum c^2, each code c with the values between its two ties.
        ties = np.searchsorted(values, ((codes[:-1] + 0.5) * step).astype(np.float32))
        cuts = np.concatenate([[0], ties, [values.size]])
        cross = float((codes * np.diff(sums[cuts])).sum())
        square = float((codes**2 * np.diff(cuts)).sum())
        errors.append(energy - 2 * step * cross + step**2 * square)
    # The last term is far above what cancels in float64.
    limit = min(errors) * (1 + SLACK) + 1e-9 * energy
    return [i for i, error in enumerate(errors) if error <= limit]


def _near_best_power(x: Tensor, steps: list[float], low: int, high: int, p: float) -> Iterable[int]:
    """As `_near_best` for any exponent; all steps where numba cannot compile."""
    module = _compiled()
    if module is None:
        return range(len(steps))
    # The relative error of a power is p times that of its base.
    slack = SLACK * max(1.0, p / 2)
    found: list[int] = module.near_best(x.detach().flatten().numpy(), np.array(steps), low, high, p, slack, UNDERFLOW)
    return found


def compiled_errors() -> Callable[..., Any] | None:
    """`shrink_errors.errors`; None where numba cannot compile."""
    module = _compiled()
    return None if module is None else module.errors


@functools.cache
def _compiled() -> Any:
    try:
        return import_module("bench.calibration.shrink_errors")
    except Exception:  # absent, of another NumPy, or its compiler does not know this processor
        return None


def exponent(x: Tensor, scale: Tensor, qmin: int, qmax: int, rounding: Rounding, count: int) -> int:
    """The best of `count` exponents e of the step 2^-e, from floor(log2(1 / scale)) upward (MQBench 00f477d).

    Best is the smallest sum of (q(x) - x)^2, at equality the smallest e; at most MAX_EXPONENT. The search starts at 0
    where scale < 2^-15.

    Args:
        x: tensor of any shape.
        scale: step that covers the range, a tensor of no dimension.
        qmin: the smallest integer code.
        qmax: the largest integer code.
        rounding: the rule for ties.
        count: how many are tried.
    """
    if not math.isfinite(float(scale)):
        raise RuntimeError("the observer saw a value that is not finite")
    start = 0 if scale < 2**-15 else int(torch.floor(torch.log2(1 / scale)))
    tried = [2.0**-e for e in range(start, start + count)]
    errors = [float((mqbench_codes(x / s, qmin, qmax, rounding) * s - x).square().sum()) for s in tried]
    return min(start + errors.index(min(errors)), MAX_EXPONENT)
