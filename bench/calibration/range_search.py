"""The step size, and the offset, that put the values of a histogram on a grid with the smallest error.

A range [low, high] with 0 inside is shrunk in equal parts, 1, 1 - 1/n, ..., 1/n; each part gives a candidate. MQBench's
MSE observers search so (00f477d), LAPQ takes any p (1911.07190).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.calibration.histogram import Floats, Histogram, Points, compiled_loops
from bench.calibration.search import compiled_errors
from bench.quantization.ranges import EPS, integer_range

CANDIDATES = 100
ROUNDS = 10
"""At most so often both ends are moved, one after the other."""


class Scale(NamedTuple):
    """Where a tensor is put: the code of x is clip(round(x / step) + zero, qmin, qmax)."""

    step: float
    """A float32 number."""
    zero: int = 0
    """The code of the value 0."""


class Scales(NamedTuple):
    """Several of them, tried one after the other."""

    steps: Floats
    """[n], float32 numbers."""
    zeros: Floats
    """[n], integers."""


class Codes(NamedTuple):
    """The codes that a quantizer has, and whether it has an offset."""

    qmin: int
    qmax: int
    signed: bool
    offset: bool = False

    @classmethod
    def of(cls, bits: int, signed: bool, offset: bool = False) -> "Codes":
        """With an offset they are 0 to 2^bits - 1."""
        return cls(*integer_range(bits, signed and not offset), signed, offset)

    def scale(self, low: float, high: float) -> Scale:
        """The scale that covers [low, high], 0 being inside; step 1 where the range is empty.

        Without an offset high / (qmax - qmin) for an unsigned tensor, max|x| / ((qmax - qmin) / 2) for a signed one
        (`bench.quantization.ranges`); with one (high - low) / (qmax - qmin), and the offset rounded (1712.05877).
        """
        steps, zeros = self.scales(np.array([low]), np.array([high]))
        return Scale(float(steps[0]), int(zeros[0]))

    def scales(self, lows: Floats, highs: Floats) -> Scales:
        """The same of several ranges."""
        covered = highs - lows if self.offset else 2 * np.maximum(-lows, highs) if self.signed else highs
        steps = np.maximum((covered / (self.qmax - self.qmin)).astype(np.float32).astype(np.float64), EPS)
        zeros = np.minimum(self.qmin + np.rint(-lows / steps), self.qmax) if self.offset else np.zeros(steps.size)
        empty = covered <= 0
        return Scales(np.where(empty, 1.0, steps), np.where(empty, 0.0, zeros))


def best_range(
    histogram: Histogram, codes: Codes, p: float, candidates: int = CANDIDATES, apart: bool = False
) -> Scale:
    """The scale with the smallest sum of |q(x) - x|^p over the values of a histogram.

    One histogram answers for any number of p; step 1 where it holds nothing but zeros.

    Args:
        histogram: the values.
        codes: what the quantizer has.
        p: exponent, positive.
        candidates: into how many parts the range is cut.
        apart: with an offset, whether afterwards each end is searched alone, the other one fixed, in turn until neither
            moves; else both shrink together.
    """
    return _search(
        histogram, codes, candidates, lambda scales: sums_of_errors(histogram.points, codes, scales, p), apart
    )


def most_alike(histogram: Histogram, codes: Codes, candidates: int = CANDIDATES) -> Scale:
    """The scale whose quantized values have the largest cosine with the values themselves."""

    def distances(scales: Scales) -> Floats:
        # The step cancels. Values that are all alike have the cosine 1 on every grid: rounded, the first of them wins.
        energy, cross, square = _moments(histogram.points, codes, scales)
        return 1 - np.round(cross / np.sqrt(np.maximum(energy * square, np.finfo(float).tiny)), 12)

    return _search(histogram, codes, candidates, distances, apart=False)


def sums_of_errors(points: Points, codes: Codes, scales: Scales, p: float) -> Floats:
    """Of each scale the sum of |q(x) - x|^p; infinite for one that cannot have the smallest."""
    steps, lows, highs = _grids(codes, scales)
    if p == 2:
        energy, cross, square = _moments(points, codes, scales)
        # sum (x - c s)^2 = sum x^2 - 2 s sum c x + s^2 sum c^2.
        return np.asarray(energy - 2 * steps * cross + steps**2 * square)
    errors = compiled_errors() or _plain_errors
    # In units of the largest step, so that no power leaves float64.
    unit = steps.max()
    found: Floats = errors(points.values / unit, points.counts, steps / unit, lows, highs, p)
    return found


def _search(
    histogram: Histogram, codes: Codes, candidates: int, errors: Callable[[Scales], Floats], apart: bool
) -> Scale:
    low, high = histogram.low, histogram.high if codes.signed else max(histogram.high, 0.0)
    low = low if codes.signed or codes.offset else 0.0
    keeps = 1.0 - np.arange(candidates) / candidates
    if low == high or not histogram.points.values.size:
        return Scale(1.0)

    def best(lows: Floats, highs: Floats) -> tuple[float, float]:
        first = int(np.argmin(errors(codes.scales(lows, highs))))
        return float(lows[first]), float(highs[first])

    found = best(low * keeps, high * keeps)
    for _ in range(ROUNDS if codes.offset and apart else 0):
        before = found
        # The pair that is there stands first: it stays unless another one is better.
        found = best(np.full(candidates + 1, found[0]), np.append(found[1], high * keeps))
        found = best(np.append(found[0], low * keeps), np.full(candidates + 1, found[1]))
        if found == before:
            break
    return codes.scale(*found)


def _grids(codes: Codes, scales: Scales) -> tuple[Floats, Floats, Floats]:
    """Steps, smallest and largest codes, that of the value 0 being 0."""
    return scales.steps, codes.qmin - scales.zeros, codes.qmax - scales.zeros


def _moments(points: Points, codes: Codes, scales: Scales) -> tuple[float, Floats, Floats]:
    """The sum of x^2, and of each scale those of code * x and code^2."""
    values, counts = points
    weighted = counts * values
    until, sums = (np.concatenate([[0.0], np.cumsum(each)]) for each in (counts, weighted))
    steps, lows, highs = _grids(codes, scales)
    loops = compiled_loops()
    energy = float(weighted @ values)
    if loops is not None:
        return energy, *loops.moments(values, until, sums, steps, lows.astype(int), highs.astype(int))
    cross, square = np.zeros(steps.size), np.zeros(steps.size)
    for k, (step, low, high) in enumerate(zip(steps, lows, highs, strict=True)):
        own = np.arange(low, high + 1)
        ties = (own[:-1] + 0.5) * step
        # On a tie a point goes to the even code.
        before, after = (np.searchsorted(values, ties, side) for side in ("left", "right"))
        cuts = np.concatenate([[0], np.where(own[:-1] % 2 == 0, after, before), [values.size]])
        cross[k], square[k] = own @ np.diff(sums[cuts]), own**2 @ np.diff(until[cuts])
    return energy, cross, square


def _plain_errors(values: Floats, counts: Floats, steps: Floats, lows: Floats, highs: Floats, p: float) -> Floats:
    """What `shrink_errors.errors` computes, where nothing can be compiled."""
    return np.array(
        [
            counts @ np.abs(np.clip(np.round(values / s), low, high) * s - values) ** p
            for s, low, high in zip(steps, lows, highs, strict=True)
        ]
    )
