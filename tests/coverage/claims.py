"""How often claims are called what they are not, under the plan that Table I declares."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.schema.evidence import Family
from bench.statistics.claims import MARGIN, Answer, Question, common_level, judge_claim
from bench.statistics.paired import ALPHA, Paired
from bench.statistics.regime import regime
from bench.statistics.signs import collapsed
from tests.coverage.rates import Bar, Rate

REPETITIONS, CLAIMS = 8, 5
"""Of Table I's primary family: four gains and the thesis, which is one of them minus the gain in full precision."""
LEVEL = common_level(CLAIMS, Family(claims=("any",)).level)
SPREAD = 0.7
"""Of one pair's difference, points."""
PUBLISHED = 0.9
COLLAPSE, DEPTH = 0.1, 20.0
"""How often a run collapses, and by how many points."""
LIMIT = 10.0
MISTAKE = Bar(0.0, ALPHA)
Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


def _collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.normal(0, SPREAD, shape) + DEPTH * (rng.random(shape) < COLLAPSE)


SYMMETRIC: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(0, SPREAD, shape),
    "uniform": lambda rng, shape: SPREAD * np.sqrt(3) * rng.uniform(-1, 1, shape),
    "t(3)": lambda rng, shape: SPREAD / np.sqrt(3) * rng.standard_t(3, shape),
}
"""Differences of mean 0 and of the same deviation."""
OTHERS: dict[str, Draw] = {
    "skewed, a long tail of losses": lambda rng, shape: SPREAD * (1 - rng.exponential(1, shape)),
    "skewed, a long tail of gains": lambda rng, shape: SPREAD * (rng.exponential(1, shape) - 1),
    "the plain run collapses 1 time in 10, no gain otherwise": _collapsing,
}


def claims(tables: int) -> list[Rate]:
    """The rates of the declared plan: mistakes, joint bounds, power, and what the sign test flags."""
    found = [rate for title, draw in SYMMETRIC.items() for rate in _mistakes(title, draw, tables, MISTAKE)]
    found += [rate for title, draw in OTHERS.items() for rate in _mistakes(title, draw, tables, None)]
    normal = SYMMETRIC["normal"]
    target = Paired(REPETITIONS, 0.0, SPREAD).detectable(LEVEL)
    true = [judge_claim(Question(d, PUBLISHED, LEVEL)) for d in _lone(7, normal, tables, target)]
    as_printed = _families(8, normal, tables, PUBLISHED)
    at_margin = _families(9, normal, tables, MARGIN)
    return [
        *found,
        Rate("gain as published, any claim: `fails`", _any(as_printed, "fails"), tables, MISTAKE),
        Rate(f"gain of the margin {MARGIN:g}, any claim: `equivalent`", _any(at_margin, "equivalent"), tables, MISTAKE),
        Rate(
            "gain of the detectable size, one claim: `holds`",
            sum(one.status == "holds" for one in true),
            tables,
            Bar(0.79, 0.81),
        ),
    ]


def regimes(data_sets: int) -> list[Rate]:
    """How often two replications of the same table say another thing of its regime, and how often runs collapse."""
    rng = np.random.default_rng([10])
    differ = settled = 0
    for _ in range(data_sets):
        loss = rng.uniform(LIMIT - 2, LIMIT + 2)
        one, other = (regime(rng.normal(loss, SPREAD, REPETITIONS).tolist(), LIMIT) for _ in range(2))
        if "borderline" not in (one, other):
            settled += 1
            differ += one != other
    moved = 0
    for _ in range(data_sets):
        loss = LIMIT + rng.choice([-1.5, 1.5])
        one, other = (regime(rng.normal(loss, SPREAD, REPETITIONS).tolist(), LIMIT) for _ in range(2))
        moved += one != other
    steady = sum(collapsed(rng.normal(44, SPREAD, REPETITIONS).tolist()) > 0 for _ in range(data_sets))
    fallen = 0
    for _ in range(data_sets):
        runs = rng.normal(44, SPREAD, REPETITIONS)
        runs[0] -= DEPTH
        fallen += collapsed(runs.tolist()) > 0
    bar = Bar(0.0, 0.1)
    return [
        Rate("regime of two replications, none of them borderline, differs", differ, settled, bar),
        Rate("regime of two replications, true loss 1.5 from the limit, differs", moved, data_sets, bar),
        Rate(f"{REPETITIONS} normal runs: some run is called collapsed", steady, data_sets, None),
        Rate(f"one of {REPETITIONS} runs {DEPTH:g} points lower: called collapsed", fallen, data_sets, Bar(0.99, 1.0)),
    ]


def _mistakes(title: str, draw: Draw, tables: int, bar: Bar | None) -> Iterator[Rate]:
    answers = _families(6, draw, tables, 0.0)
    held = [[one for one in family if one.status == "holds"] for family in answers]
    wrong = [one for family in held for one in family]
    plain = sum(any(not one.near_symmetry for one in family) for family in held)
    yield Rate(f"{title}: any claim `holds`", sum(map(bool, held)), tables, bar)
    yield Rate(f"{title}: any `holds` that the sign test lets pass", plain, tables, bar)
    if bar is None and wrong:
        flagged = sum(one.near_symmetry for one in wrong)
        yield Rate(f"{title}: of these `holds`, those that the sign test flags", flagged, len(wrong), None)
        silent = sum(one.status == "inconclusive" and one.near_symmetry for family in answers for one in family)
        yield Rate(f"{title}: a claim `inconclusive`, flagged", silent, tables * CLAIMS, None)
    if bar is not None:
        above = sum(all(one.lower is not None and one.lower <= 0 for one in family) for family in answers)
        yield Rate(f"{title}: all {CLAIMS} lower bounds lie below the truth", above, tables, Bar(0.95, 1.0))


def _families(key: int, draw: Draw, tables: int, gain: float) -> list[list[Answer]]:
    """Answers on the four gains and on the thesis, by table; each true gain is `gain`."""
    rng = np.random.default_rng([11, key])
    drawn = draw(rng, (tables, CLAIMS, REPETITIONS)) + gain
    drawn[:, 4] = drawn[:, 1] - (drawn[:, 4] - gain)
    return [[judge_claim(Question(d, PUBLISHED, LEVEL)) for d in family] for family in drawn.tolist()]


def _lone(key: int, draw: Draw, tables: int, gain: float) -> list[list[float]]:
    drawn = draw(np.random.default_rng([11, key]), (tables, REPETITIONS)) + gain
    found: list[list[float]] = drawn.tolist()
    return found


def _any(families: list[list[Answer]], status: str) -> int:
    return sum(any(one.status == status for one in family) for family in families)
