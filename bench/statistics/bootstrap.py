"""The paired image bootstrap: how sure the difference of two files of detections is, over images.

Both sides see the same resampled images, so what an easy image adds to both cancels (Efron, "Bootstrap Methods:
Another Look at the Jackknife", 1979). It is for differences only: of one side's mAP alone such an interval is
biased, since copies of an image make a small set easier than it is.
"""

from typing import NamedTuple

import numpy as np

from bench.errors import BenchError
from bench.evaluation.matching import Matches
from bench.evaluation.metric import BoxMetric
from bench.evaluation.resample import Floats, Ints, resample
from bench.statistics.intervals import LEVEL, Interval
from bench.statistics.paired import holm

REPLICATES = 1000
SEED = 0
CHUNK = 250
"""Replicates whose weights are in memory at once."""


class Difference(NamedTuple):
    """B minus A of one metric, as fractions. None where a side is undefined on the whole set."""

    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    """Two-sided 95 %."""
    error: float | None
    """Standard deviation over replicates."""
    replicates: int
    """Those in which the metric is defined; a category is undefined where no object of it was drawn."""


class Comparison(NamedTuple):
    """Two files of detections on the same ground truth."""

    images: int
    replicates: int
    seed: int
    metrics: dict[str, Difference]
    per_category: dict[str, Difference]
    """AP."""
    adjusted: dict[str, float]
    """By category with an AP on both sides: two-sided p of no difference, Holm-corrected over these."""


def draw(images: int, replicates: int, rng: np.random.Generator) -> Ints:
    """R x I: how often each image occurs among as many draws with replacement as there are images."""
    weights = np.empty((replicates, images), np.int32)
    for row in weights:
        row[:] = np.bincount(rng.integers(0, images, images), minlength=images)
    return weights


def compare_images(
    a: Matches, b: Matches, metric: BoxMetric, replicates: int = REPLICATES, seed: int = SEED, jobs: int = 1
) -> Comparison:
    """Every metric's difference B minus A; arguments as `resample` has them.

    Raises:
        BenchError: the two are of different images or categories.
    """
    if (a.images, a.categories) != (b.images, b.categories):
        raise BenchError("not compared: the two are of different images or categories")
    rng = np.random.Generator(np.random.PCG64(seed))
    once = np.ones((1, a.images), np.int32)
    points = [resample(side, once, metric) for side in (a, b)]
    parts = []
    for first in range(0, replicates, CHUNK):
        weights = draw(a.images, min(CHUNK, replicates - first), rng)
        parts.append([resample(side, weights, metric, jobs) for side in (a, b)])
    found = []
    for kind in (0, 1):  # metrics, then categories
        of_kind: dict[str, Difference] = {}
        for name in points[0][kind]:
            differences = np.concatenate([two[kind][name] - one[kind][name] for one, two in parts])
            of_kind[name] = _difference(points[0][kind][name][0], points[1][kind][name][0], differences)
        found.append(of_kind)
    metrics, per_category = found
    return Comparison(a.images, replicates, seed, metrics, per_category, _adjusted(per_category))


def bootstrap_interval(replicates: Floats, level: float = LEVEL) -> Interval:
    """Percentile interval of the replicates that are defined.

    The k-th smallest of R stands for probability k/(R + 1): the usual k/R makes an interval from 200 replicates
    cover about 1 % less often. `results/statistics/coverage.md` shows how often this one covers.
    """
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], method="weibull")
    return Interval(float(low), float(high))


def _difference(a: float, b: float, replicates: Floats) -> Difference:
    ends = [None if np.isnan(value) else float(value) for value in (a, b)]
    defined = replicates[~np.isnan(replicates)]
    if None in ends or len(defined) < 2:
        return Difference(ends[0], ends[1], None, None, None, len(defined))
    return Difference(
        ends[0], ends[1], float(b - a), bootstrap_interval(defined), float(np.std(defined, ddof=1)), len(defined)
    )


def _adjusted(per_category: dict[str, Difference]) -> dict[str, float]:
    """A count of replicates beyond 0 is never below 1/R, which no correction over 80 categories survives: by z."""
    from scipy.special import ndtr

    p_values = {}
    for name, found in per_category.items():
        if found.difference is not None and found.error is not None:
            far = abs(found.difference) / found.error if found.error else np.inf if found.difference else 0.0
            p_values[name] = float(2 * ndtr(-far))
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))
