"""Rules on claims: their order, one level a family, the sign test, collapsed runs, regimes."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, f_oneway

from bench.statistics.claims import Question, common_level, failing_bound, judge_claim
from bench.statistics.environments import p_of_no_difference
from bench.statistics.regime import regime, worst
from bench.statistics.signs import collapsed, sign_above, sign_below

CLEAR = [0.9, 1.2, 0.7, 1.0, 1.1, 0.8, 1.3, 1.0]


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        (CLEAR, "holds"),
        ([d - 0.75 for d in CLEAR], "holds, perhaps negligible, depends on near-symmetry"),
        ([d - 1.0 for d in CLEAR], "equivalent"),
        ([d - 1.6 for d in CLEAR], "fails"),
        ([d - 1.2 for d in CLEAR], "fails, equivalent to none"),
        ([3.0, -2.0, 1.0, 0.5, -1.0, 2.0, 0.0, 1.0], "inconclusive"),
        # One huge gain: no bound above 0, though every pair gains.
        ([0.5, 0.6, 0.4, 0.5, 0.6, 0.5, 0.4, 90.0], "inconclusive, depends on near-symmetry"),
        ([0.5], "inconclusive"),
        ([], "inconclusive"),
        ([0.0, 0.0], "inconclusive"),
        ([0.0] * 8, "inconclusive"),
        ([1.0] * 8, "inconclusive"),
    ],
)
def test_the_order_of_the_rules(differences: list[float], words: str) -> None:
    assert judge_claim(Question(differences, level=0.01)).words == words


def test_two_pairs_of_zero_have_no_bounds() -> None:
    found = judge_claim(Question([0.0, 0.0]))
    assert (found.lower, found.upper, found.detectable, found.sign) == (None, None, None, None)


@pytest.mark.parametrize(("published", "bound"), [(0.9, 0.2), (0.3, 0.15), (None, 0.2)])
def test_a_claim_fails_below_the_smaller_bound(published: float | None, bound: float) -> None:
    assert failing_bound(published) == bound
    differences = [bound - 0.3, bound - 0.31, bound - 0.29]
    assert judge_claim(Question(differences, published)).status == "fails"
    assert judge_claim(Question([d + 0.3 for d in differences], published)).status != "fails"


def test_the_level_of_a_family_is_its_declared_number_and_no_less() -> None:
    assert common_level(5, 0.05) == 0.01 and common_level(1, 0.03) == 0.03
    barely = [0.1, 0.6, 0.4, 0.3, 0.0]
    assert judge_claim(Question(barely)).status == "holds"
    assert judge_claim(Question(barely, level=common_level(3, 0.05))).status == "inconclusive"


@pytest.mark.parametrize("values", [CLEAR, [1.0, -1.0, 0.0, 2.0], [-1.0, -2.0], [0.3]])
def test_sign_tests_are_binomial(values: list[float]) -> None:
    up, down = sum(v > 0 for v in values), sum(v < 0 for v in values)
    assert sign_above(values, 0.0) == pytest.approx(binomtest(up, up + down, alternative="greater").pvalue)
    assert sign_below(values, 0.0) == pytest.approx(binomtest(down, up + down, alternative="greater").pvalue)
    assert sign_above(values[:1], values[0]) is None


@pytest.mark.parametrize(
    ("runs", "number"),
    [
        ([44.1, 44.3, 44.0, 44.2, 44.4, 44.1, 44.2, 12.0], 1),
        ([44.1, 44.3, 44.0, 44.2, 44.4, 44.1, 11.0, 12.0], 2),
        ([44.1, 44.3, 44.0, 44.2, 44.4, 44.1, 44.2, 43.5], 0),
        ([44.1, 44.3, 44.0, 44.2, 44.4, 44.1, 44.2, 90.0], 0),
        ([44.1, 44.3, 1.0], 0),
    ],
)
def test_collapsed_runs(runs: list[float], number: int) -> None:
    for order in itertools.islice(itertools.permutations(runs), 5):
        assert collapsed(order) == number


def test_regimes() -> None:
    losses = [2.0, 2.4, 2.2, 1.8, 2.1]
    assert [regime(losses, limit) for limit in (3.0, 2.1, 1.0)] == ["in", "borderline", "out"]
    assert regime([2.0], 3.0) == "borderline"
    assert worst(["in", "borderline", "out"]) == "out" and worst(["in", "borderline"]) == "borderline"
    assert worst([]) == "in"


def test_environments_are_compared_by_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    groups = [rng.normal(m, 1, n).tolist() for m, n in ((0, 4), (0.5, 3), (2, 5))]
    assert p_of_no_difference(groups) == pytest.approx(f_oneway(*groups).pvalue)
    assert p_of_no_difference([*groups, []]) == pytest.approx(f_oneway(*groups).pvalue)
    for untold in ([groups[0]], [[1.0], [2.0]], [[1.0, 1.0], [2.0]]):
        assert p_of_no_difference(untold) is None
    assert not math.isnan(p_of_no_difference([[1.0, 2.0], [9.0]]) or math.nan)
