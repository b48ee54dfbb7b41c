"""Intervals over seeds and claims, on runs drawn from a known distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.statistics.intervals import prediction_interval, seed_interval
from bench.statistics.paired import ALPHA, Paired
from bench.statistics.rules import Answer, Question, judge_claims
from tests.coverage.rates import Bar, Rate

DEVIATION = 0.3
"""Of runs over seeds, points of mAP."""
PUBLISHED = 0.9
SEEDS = 5
COVER, MISTAKE = Bar(0.93, 0.97), Bar(0.0, ALPHA)
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


def claims(tables: int) -> list[Rate]:
    """How often claims are called what they are not, and how often a gain of the detectable size is found."""
    lone = _tables(2, tables, [0.0])
    several = _tables(3, tables, [0.0] * 4)
    true = _tables(4, tables, [PUBLISHED] * 4)
    deviation = np.sqrt(2) * DEVIATION
    target = Paired(SEEDS, 0.0, float(deviation)).detectable()
    found = _tables(5, tables, [target])
    each = sum(answer.status == "holds" for answers in several for answer in answers)
    wrong = sum(any(answer.status == "holds" for answer in answers) for answers in several)
    failed = sum(any(answer.status == "fails" for answer in answers) for answers in true)
    return [
        Rate("no true difference, a claim alone: `holds`", _count(lone, "holds"), tables, MISTAKE._replace(reach=True)),
        Rate("no true difference, each of 4 claims of a table: `holds`", each, 4 * tables, MISTAKE),
        Rate("no true difference, any of 4 claims of a table: `holds`", wrong, tables, MISTAKE),
        Rate("true gain as published, any of 4 claims of a table: `fails`", failed, tables, MISTAKE),
        Rate(
            "true gain of the detectable size, a claim alone: `holds`", _count(found, "holds"), tables, Bar(0.79, 0.81)
        ),
    ]


def _tables(key: int, tables: int, gains: list[float]) -> list[list[Answer]]:
    """Paired runs: all claims of a table compare with the same plain runs, seed by seed."""
    rng = np.random.default_rng([9, key])
    answers = []
    for _ in range(tables):
        plain = normal(rng, SEEDS)
        differences = [gain + normal(rng, SEEDS) - plain for gain in gains]
        answers.append(judge_claims([Question(d.tolist(), PUBLISHED) for d in differences]))
    return answers


def _count(answers: list[list[Answer]], status: str) -> int:
    return sum(answer.status == status for (answer,) in answers)
