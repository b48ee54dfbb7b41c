"""All values that one tensor has over many batches, in fine bins: memory does not grow with the number of images."""

import functools
import math
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HALF = 17
"""2^17 bins reach from 0 to the largest |x|: at 8 bits 514 of them lie in one step of an unsigned range."""
CHANNEL_HALF = 13
"""The same of one channel of an activation, of which a detector has thousands: 32 bins a step at 8 bits."""
KEPT = 2**16
"""So many values stand for themselves, as those of a weight's channel do; more are put into bins."""

Floats = NDArray[np.float64]


class Points(NamedTuple):
    """The values that are not zero, or the means of bins."""

    values: Floats
    """[n], ascending."""
    counts: Floats
    """[n], how many values each one stands for."""


class Histogram:
    """Collects a tensor batch by batch. Bins have one width, a power of two that doubles when the range outgrows it:
    two bins then become one, so the result hangs on the values alone. Each bin keeps its sum, which makes its mean
    exact, and zeros are counted apart."""

    def __init__(self, half: int = HALF) -> None:
        """2^half bins reach from 0 to the largest |x|."""
        self.half = half
        self.low, self.high = 0.0, 0.0
        """The observed range; 0 always lies in it."""
        self.size, self.zeros = 0, 0
        self._kept: list[Tensor] = []
        self._exponent, self._first = 0, 0
        self._bins: Floats = np.zeros((0, 2))
        self._points: Points | None = None

    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Take a tensor of any shape into account; an empty one changes nothing.

        Raises ValueError where a value is not finite.
        """
        if x.numel() == 0:
            return
        x = x.detach().flatten().float()
        low, high = (float(end) for end in torch.aminmax(x))
        if not -math.inf < low <= high < math.inf:
            raise ValueError(f"a histogram needs finite values, found {low} to {high}")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.size, self._points = self.size + x.numel(), None
        if not self._bins.size and self.size <= KEPT:
            self._kept.append(x.cpu().clone())
            return
        for values in (*self._kept, x):
            self._put(values)
        self._kept = []

    @property
    def points(self) -> Points:
        """What the values are, near enough: of at most KEPT values themselves, of more the means of their bins."""
        if self._points is None:
            if self._kept:
                values = torch.cat(self._kept).double().numpy()
                values = np.sort(values[values != 0])
                self.zeros = self.size - values.size
                self._points = Points(values, np.ones(values.size))
            else:
                counts, sums = self._bins.T
                filled = counts > 0
                self._points = Points(sums[filled] / counts[filled], counts[filled])
        return self._points

    def quantile(self, share: float, of_magnitudes: bool = False) -> float:
        """The smallest value, or |value|, that at least this share of all of them do not exceed; 0 where there are
        none."""
        values, counts = self.points
        values = np.append(np.abs(values) if of_magnitudes else values, 0.0)
        order = np.argsort(values, kind="stable")
        until = np.cumsum(np.append(counts, self.zeros)[order])
        wanted = max(1.0, math.ceil(share * self.size - 1e-6))
        return float(values[order[min(int(np.searchsorted(until, wanted)), order.size - 1)]])

    def _put(self, x: Tensor) -> None:
        end = max(-self.low, self.high)
        # The smallest width at which 2^half bins reach beyond |x|; none below what float32 can divide by.
        exponent = max(math.frexp(end)[1] - self.half, -126)
        if not self._bins.size:
            self._exponent = exponent
        elif exponent > self._exponent:
            self._coarsen(exponent)
        scale = 2.0**-self._exponent
        self._cover(math.floor(self.low * scale), math.floor(self.high * scale))
        loops = compiled_loops() if x.is_cpu else None
        if loops is not None:
            self.zeros += loops.binned(x.contiguous().numpy(), self._bins, scale, self._first)
            return
        own = x[x != 0].double()
        self.zeros += x.numel() - own.numel()
        index = torch.floor(own * scale).long() - self._first
        size = len(self._bins)
        self._bins[:, 0] += torch.bincount(index, minlength=size).double().cpu().numpy()
        self._bins[:, 1] += torch.bincount(index, weights=own, minlength=size).cpu().numpy()

    def _coarsen(self, exponent: int) -> None:
        """Bins of the width 2^exponent: each is made of whole ones."""
        width = 2 ** (exponent - self._exponent)
        first = self._first // width
        last = (self._first + len(self._bins) - 1) // width
        before = self._first - first * width
        after = (last - first + 1) * width - before - len(self._bins)
        padded = np.pad(self._bins, ((before, after), (0, 0)))
        self._bins = padded.reshape(-1, width, 2).sum(axis=1)
        self._exponent, self._first = exponent, first

    def _cover(self, first: int, last: int) -> None:
        """Let bins reach from `first` to `last`."""
        if not self._bins.size:
            self._first, self._bins = first, np.zeros((last - first + 1, 2))
            return
        before = max(0, self._first - first)
        after = max(0, last + 1 - self._first - len(self._bins))
        if before or after:
            self._bins = np.pad(self._bins, ((before, after), (0, 0)))
            self._first -= before


@functools.cache
def compiled_loops() -> Any:
    """The module of compiled loops; None where numba cannot compile."""
    try:
        return import_module("bench.calibration.histogram_loops")
    except Exception:  # absent, of another NumPy, or its compiler does not know this processor
        return None
