"""How often `compare` calls two equal detectors different: by some category's p, and by the interval of AP."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.evaluation.matching import Matches
from bench.evaluation.resample import average_precisions
from bench.schema.group import FEW
from bench.statistics.bootstrap import adjusted, bearing, bootstrap_interval, difference, draw
from bench.statistics.paired import ALPHA
from tests.coverage.images import REPLICATES
from tests.coverage.rates import Bar, Rate
from tests.coverage.simulator import COCO, Design, Floats, Ints, World

DESIGNS = (Design(72, 66, 7.0, gain=0.0), Design(600, 20, 4.2, gain=0.0))
FAMILY = Bar(0.0, ALPHA, most=0.07)


class Trial(NamedTuple):
    """One data set."""

    different: bool
    """Some category's p, corrected over all that are tested, is below 5 %."""
    tested: int
    excluded: bool
    """Whether the interval of AP leaves 0 out."""


def false_positives(data_sets: int, jobs: int) -> Iterator[Rate]:
    """Two rates a design."""
    with ProcessPoolExecutor(jobs) as pool:
        for index, design in enumerate(DESIGNS):
            trials = list(pool.map(trial, [index] * data_sets, range(data_sets), chunksize=20))
            tested = float(np.mean([t.tested for t in trials]))
            yield Rate(
                f"some category differs, {design.name} (images x categories)",
                sum(t.different for t in trials),
                data_sets,
                FAMILY,
                {"tested": tested},
            )
            excluded = sum(t.excluded for t in trials)
            yield Rate(f"the interval of AP excludes 0, {design.name} (images x categories)", excluded, data_sets, None)


def trial(index: int, number: int) -> Trial:
    """Of a design, one data set by its number: the same whatever process draws it."""
    rng = np.random.default_rng([12, index, number])
    a, b = _world(index).data_set(rng)
    once = np.ones((1, a.images), np.int32)
    weights = draw(a.images, REPLICATES, rng)
    (one, two), (ones, twos) = ([_categories(side, w) for side in (a, b)] for w in (once, weights))
    found = {}
    for index, cells in enumerate(a.cells):
        images = bearing(cells)
        moved = twos[:, index] - ones[:, index]
        found[a.categories[index]] = difference(one[0, index], two[0, index], moved, images, enough=images >= FEW)
    p_values = adjusted(found)
    interval = bootstrap_interval(np.nanmean(twos, axis=1) - np.nanmean(ones, axis=1))
    return Trial(any(p < ALPHA for p in p_values.values()), len(p_values), 0 not in interval)


def _categories(side: Matches, weights: Ints) -> Floats:
    """R x category: COCO AP of each replicate."""
    return np.asarray(average_precisions(side, weights, COCO)[:, :, 0].mean(axis=2))


@cache
def _world(index: int) -> World:
    return World(DESIGNS[index])
