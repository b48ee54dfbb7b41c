"""The paired image bootstrap on simulated detectors whose true difference is known."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.statistics.bootstrap import bootstrap_interval, draw
from bench.statistics.intervals import Interval
from tests.coverage.rates import Bar, Rate
from tests.coverage.simulator import Design, World, mean_ap, truth

REPLICATES = 200
DESIGNS = (Design(72, 66, 7.0), Design(72, 3, 13.0), Design(600, 20, 4.2), Design(5000, 80, 7.3))
"""Objects an image: as COCO, as BCCD, as Shapes-VOC, as COCO."""
POPULATION, PARTS = 100_000, 20
"""The truth is the difference on so many images, as many times."""
ENOUGH = 600
"""From so many images on the bar stands."""
FEW_SETS = 50
"""Data sets of a design of thousands of images, a tenth of a minute each."""


class Trial(NamedTuple):
    """One data set."""

    point: float
    interval: Interval
    deviation: float
    ap: float


def coverage(data_sets: int, jobs: int) -> Iterator[Rate]:
    """One rate a design."""
    with ProcessPoolExecutor(jobs) as pool:
        for index, design in enumerate(DESIGNS):
            count = min(data_sets, FEW_SETS) if design.images > 1000 else data_sets
            true, error, _ = truth(_world(index), np.random.default_rng([6, index]), POPULATION, PARTS)
            trials = list(pool.map(trial, [index] * count, range(count), chunksize=5))
            points = np.array([t.point for t in trials])
            yield Rate(
                f"paired image bootstrap, {design.name} (images x categories)",
                sum(true in t.interval for t in trials),
                count,
                Bar(0.93, 0.97, reach=count <= FEW_SETS) if design.images >= ENOUGH else None,
                {
                    "true_difference": true,
                    "error_of_truth": error,
                    "mean_difference": float(points.mean()),
                    "deviation_of_difference": float(points.std(ddof=1)),
                    "mean_deviation_of_bootstrap": float(np.mean([t.deviation for t in trials])),
                    "mean_ap": float(np.mean([t.ap for t in trials])),
                },
            )


def trial(index: int, number: int) -> Trial:
    """Of a design, one data set by its number: the same whatever process draws it."""
    world = _world(index)
    rng = np.random.default_rng([8, index, number])
    a, b = world.data_set(rng)
    once = np.ones((1, a.images), np.int32)
    weights = draw(a.images, REPLICATES, rng)
    ap = float(mean_ap(a, once)[0])
    replicates = mean_ap(b, weights) - mean_ap(a, weights)
    point = float(mean_ap(b, once)[0]) - ap
    return Trial(point, bootstrap_interval(replicates), float(replicates.std(ddof=1)), ap)


@cache
def _world(index: int) -> World:
    return World(DESIGNS[index])
