"""The range whose quantized values have nearly the distribution of the values themselves: TensorRT's calibration by
entropy (Migacz, GTC 2017), as ONNX Runtime writes it out."""

import numpy as np

from bench.calibration.histogram import Floats, Histogram

SMOOTH = 1e-4
"""What an empty bin counts as, so that no logarithm is infinite."""


def entropy_end(histogram: Histogram, levels: int, bins: int) -> float:
    """The T that cuts |x| with the smallest divergence (Kullback-Leibler) of the values by their quantized ones.

    |x| is put into `bins` bins, and each of their ends, from the `levels`-th on, is tried. What lies beyond counts to
    the last bin. The quantized distribution has `levels` equal groups of bins; the count of each is shared by its bins
    that are not empty. The whole range if there are not more bins than levels.
    """
    end = max(-histogram.low, histogram.high)
    values, counts = histogram.points
    if levels >= bins or not values.size:
        return end
    density, edges = np.histogram(np.abs(values), bins, (0.0, end), weights=counts)
    density[0] += histogram.zeros
    beyond = density.sum() - np.cumsum(density)
    tried = range(levels, bins + 1)
    divergences = [_divergence(density[:i], beyond[i - 1], levels) for i in tried]
    return float(edges[tried[int(np.argmin(divergences))]])


def _divergence(inside: Floats, beyond: float, levels: int) -> float:
    wanted = inside.copy()
    wanted[-1] += beyond
    filled = wanted > 0
    starts = np.arange(levels) * (inside.size // levels)
    widths = np.diff(np.append(starts, inside.size))
    totals, members = np.add.reduceat(inside, starts), np.add.reduceat(filled.astype(float), starts)
    shared = np.repeat(totals / np.maximum(members, 1), widths) * filled
    p, q = _smooth(wanted), _smooth(shared)
    return float((p * np.log(p / q)).sum())


def _smooth(counts: Floats) -> Floats:
    """A distribution without zeros."""
    smoothed = np.where(counts > 0, counts, SMOOTH)
    distribution: Floats = smoothed / smoothed.sum()
    return distribution
