"""The paired image bootstrap: how sure the difference of two files of detections is, over images.

Both sides see the same resampled images, so what an easy image adds to both cancels (Efron, "Bootstrap Methods:
Another Look at the Jackknife", 1979). It is for differences only: of one side's mAP alone such an interval is
biased, since copies of an image make a small set easier than it is.
"""

from typing import NamedTuple

import numpy as np

from bench.errors import BenchError
from bench.evaluation.matching import Matches, Ranked
from bench.evaluation.metric import BoxMetric
from bench.evaluation.resample import Floats, Ints, resample
from bench.schema.group import FEW, NO_GROUPS, Groups
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
    """Two-sided, of 95 % unless another level was asked for; None for a category with too few images, as `error`."""
    error: float | None
    """Standard deviation over replicates."""
    replicates: int
    """Those in which the metric is defined; a category is undefined where no object of it was drawn."""
    images: int
    """Those that bear on it: of a category the images with an object that counts, of a metric all."""


class Comparison(NamedTuple):
    """Two files of detections on the same ground truth."""

    images: int
    replicates: int
    seed: int
    metrics: dict[str, Difference]
    """Over all categories; those of a group are called `GROUP.METRIC`."""
    per_category: dict[str, Difference]
    """AP."""
    adjusted: dict[str, float]
    """By category with an interval: two-sided p of no difference, Holm-corrected over these."""
    few: int
    """A category or a group with fewer images than this has no interval and no p."""
    groups: Groups = NO_GROUPS

    def fell_most(self, count: int) -> list[str]:
        """The categories that lost most, the worst first, among those with images enough for an interval."""
        lost = {
            name: found.difference
            for name, found in self.per_category.items()
            if found.difference is not None and found.difference < 0 and found.images >= self.few
        }
        return sorted(lost, key=lambda name: lost[name])[:count]


def draw(images: int, replicates: int, rng: np.random.Generator) -> Ints:
    """R x I: how often each image occurs among as many draws with replacement as there are images."""
    weights = np.empty((replicates, images), np.int32)
    for row in weights:
        row[:] = np.bincount(rng.integers(0, images, images), minlength=images)
    return weights


def compare_images(
    a: Matches,
    b: Matches,
    metric: BoxMetric,
    replicates: int = REPLICATES,
    seed: int = SEED,
    jobs: int = 1,
    few: int = FEW,
    groups: Groups = NO_GROUPS,
    level: float = LEVEL,
) -> Comparison:
    """Every metric's difference B minus A; `few` as in `Comparison`, the other arguments as `resample` has them.

    `level` is that of two-sided intervals: 1 - 2a makes both ends one-sided bounds at level a.

    Raises:
        BenchError: the two are of different images or categories.
    """
    if (a.images, a.categories) != (b.images, b.categories):
        raise BenchError("not compared: the two are of different images or categories")
    rng = np.random.Generator(np.random.PCG64(seed))
    once = np.ones((1, a.images), np.int32)
    points = [resample(side, once, metric, groups=groups) for side in (a, b)]
    parts = []
    for first in range(0, replicates, CHUNK):
        weights = draw(a.images, min(CHUNK, replicates - first), rng)
        parts.append([resample(side, weights, metric, jobs, groups) for side in (a, b)])
    seen = _bearing(a, groups)
    found = []
    for kind in (0, 1):  # metrics, then categories
        of_kind: dict[str, Difference] = {}
        for name in points[0][kind]:
            differences = np.concatenate([two[kind][name] - one[kind][name] for one, two in parts])
            ends = points[0][kind][name][0], points[1][kind][name][0]
            group, _, _ = name.rpartition(".")
            images = seen[kind, name if kind else group]
            enough = not (kind or group) or images >= few
            of_kind[name] = difference(*ends, differences, images, enough=enough, level=level)
        found.append(of_kind)
    metrics, per_category = found
    return Comparison(a.images, replicates, seed, metrics, per_category, adjusted(per_category), few, groups)


def bootstrap_interval(replicates: Floats, level: float = LEVEL) -> Interval:
    """Percentile interval of the replicates that are defined.

    The k-th smallest of R stands for probability k/(R + 1): the usual k/R makes an interval from 200 replicates
    cover about 1 % less often. `results/statistics/coverage.md` shows how often this one covers.
    """
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], method="weibull")
    return Interval(float(low), float(high))


def adjusted(per_category: dict[str, Difference]) -> dict[str, float]:
    """Holm-corrected p of no difference, by category with an interval: by t = difference / error.

    A count of replicates beyond 0 is never below 1/R, which no correction over 80 categories survives. The error is
    estimated from the n images that bear on a category: so t has n - 1 degrees of freedom, and the variance of the
    replicates, which divides by n, is raised by n/(n - 1). With the normal distribution in its place some category is
    called different too often (results/statistics/coverage.md).
    """
    from scipy.special import stdtr

    p_values = {}
    for name, found in per_category.items():
        if found.difference is not None and found.error is not None:
            n = max(2, found.images)
            error = found.error * np.sqrt(n / (n - 1))
            far = abs(found.difference) / error if error else np.inf if found.difference else 0.0
            p_values[name] = float(2 * stdtr(n - 1, -far))
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _bearing(matches: Matches, groups: Groups) -> dict[tuple[int, str], int]:
    """Images that bear on each category (1), on each group (0), and on all (0 and no name)."""
    cells = dict(zip(matches.categories, matches.cells, strict=True))
    found = {(1, name): bearing(own) for name, own in cells.items()} | {(0, ""): matches.images}
    for group, names in groups.items():
        seen = sum(cells[name][0].objects for name in names)
        found[0, group] = int(np.count_nonzero(seen))
    return found


def bearing(cells: tuple[Ranked, ...]) -> int:
    """Images with an object of a category that counts, of any size."""
    return int(np.count_nonzero(cells[0].objects))


def difference(
    a: float, b: float, replicates: Floats, images: int, *, enough: bool, level: float = LEVEL
) -> Difference:
    """From both sides on the whole set and their difference in each replicate (R, NaN where undefined).

    `images` bear on it; without `enough` of them it has no interval.
    """
    ends = [None if np.isnan(value) else float(value) for value in (a, b)]
    defined = replicates[~np.isnan(replicates)]
    if None in ends:
        return Difference(ends[0], ends[1], None, None, None, len(defined), images)
    moved = float(b - a)
    if not enough or len(defined) < 2:
        return Difference(ends[0], ends[1], moved, None, None, len(defined), images)
    deviation = float(np.std(defined, ddof=1))
    return Difference(ends[0], ends[1], moved, bootstrap_interval(defined, level), deviation, len(defined), images)
