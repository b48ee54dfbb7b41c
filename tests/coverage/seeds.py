"""Intervals over seeds and over whole pipelines, on runs drawn from a known distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.statistics.intervals import prediction_interval, seed_interval
from tests.coverage.rates import Bar, Rate

DEVIATION = 0.3
"""Of runs over seeds, points of mAP."""
CHECKPOINTS = 0.8
"""Of full-precision models trained from several seeds, and what is made of them."""
GAINS = 0.3
"""Of the true gain from one model to the next."""
SEEDS = 5
COVER = Bar(0.93, 0.97)
Draw = Callable[[np.random.Generator, int], Any]


def normal(rng: np.random.Generator, n: int) -> Any:
    """Runs as the intervals assume them, of true mean 0."""
    return rng.normal(0, DEVIATION, n)


def skewed(rng: np.random.Generator, n: int) -> Any:
    """Runs with a long tail to bad results, of true mean 0."""
    return DEVIATION * (1 - rng.exponential(1, n))


def intervals(data_sets: int) -> list[Rate]:
    """How often the seed interval covers the true mean, and the prediction interval the next run."""
    found = []
    for title, draw, bar in (("normal runs", normal, COVER), ("skewed runs", skewed, None)):
        for n in (2, 3, SEEDS):
            rng = np.random.default_rng([1, n, bar is None])
            mean = next_run = 0
            for _ in range(data_sets):
                runs = draw(rng, n).tolist()
                mean += 0.0 in seed_interval(runs)
                next_run += float(draw(rng, 1)[0]) in prediction_interval(runs)
            found.append(Rate(f"seed interval covers the mean, {n} {title}", mean, data_sets, bar))
            found.append(Rate(f"prediction interval covers the next run, {n} {title}", next_run, data_sets, bar))
    return found


def pipelines(data_sets: int) -> list[Rate]:
    """Intervals over whole pipelines, whose checkpoints vary, and over runs of one checkpoint."""
    found = []
    for title, own, bar in (("own", True, COVER), ("shared", False, None)):
        for n in (5, 8):
            rng = np.random.default_rng([2, n, own])
            mean = next_run = gain = 0
            for _ in range(data_sets):
                models = rng.normal(0, CHECKPOINTS, n) if own else np.full(n, rng.normal(0, CHECKPOINTS))
                gains = rng.normal(0, GAINS, n) if own else np.full(n, rng.normal(0, GAINS))
                plain = models + normal(rng, n)
                mean += 0.0 in seed_interval(plain.tolist())
                further = rng.normal(0, CHECKPOINTS) + float(normal(rng, 1)[0])
                next_run += further in prediction_interval(plain.tolist())
                gain += 0.0 in seed_interval((models + gains + normal(rng, n) - plain).tolist())
            what = f"{n} repetitions, checkpoints {title}"
            found.append(Rate(f"interval covers the mean of all pipelines, {what}", mean, data_sets, bar))
            found.append(Rate(f"prediction interval covers the next pipeline, {what}", next_run, data_sets, bar))
            found.append(Rate(f"interval of a gain covers that over all pipelines, {what}", gain, data_sets, bar))
    return found
