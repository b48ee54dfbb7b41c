"""Intervals, tests and rules against other computations of the same numbers."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import nctdtr
from scipy.stats import ttest_1samp

from bench.errors import BenchError
from bench.evaluation.metric import metric_of
from bench.schema.suite import Metric
from bench.statistics.bootstrap import Comparison, bootstrap_interval, compare_images, draw
from bench.statistics.intervals import Interval, prediction_interval, seed_interval, t_quantile
from bench.statistics.paired import Paired, holm
from bench.statistics.rules import judge_reference

COCO = metric_of(Metric(variant="coco"))
RUNS = [50.1, 50.6, 50.3, 49.9]


def test_seed_interval_is_that_of_the_t_test() -> None:
    expected = ttest_1samp(RUNS, 0).confidence_interval(0.95)
    assert seed_interval(RUNS) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_prediction_interval_adds_the_next_run_and_the_margin() -> None:
    seed, plain, wide = seed_interval(RUNS), prediction_interval(RUNS), prediction_interval(RUNS, margin=0.5)
    assert plain.half_width == pytest.approx(seed.half_width * math.sqrt(1 + len(RUNS)), rel=1e-12)
    assert wide.half_width == pytest.approx(plain.half_width + 0.5, rel=1e-12)
    assert prediction_interval(RUNS, further=10**9).half_width == pytest.approx(seed.half_width, rel=1e-6)


@pytest.mark.parametrize("values", [[], [50.0]])
def test_fewer_than_two_have_no_interval(values: list[float]) -> None:
    for function in (seed_interval, prediction_interval, Paired.of):
        with pytest.raises(ValueError, match="no spread"):
            function(values)


@pytest.mark.parametrize("value", [-0.4, 0.0, 0.3])
def test_one_sided_tests_are_those_of_the_t_test(value: float) -> None:
    differences = [0.5, 0.1, -0.2, 0.9, 0.3]
    paired = Paired.of(differences)
    assert paired.p_above(value) == pytest.approx(ttest_1samp(differences, value, alternative="greater").pvalue)
    assert paired.p_below(value) == pytest.approx(ttest_1samp(differences, value, alternative="less").pvalue)


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_bounds_and_p_values_agree(alpha: float) -> None:
    paired = Paired.of([0.5, 0.1, -0.2, 0.9, 0.3])
    assert paired.p_above(paired.lower(alpha)) == pytest.approx(alpha, rel=1e-9)
    assert paired.p_below(paired.upper(alpha)) == pytest.approx(alpha, rel=1e-9)


def test_differences_without_spread() -> None:
    same = Paired.of([0.5, 0.5, 0.5])
    assert (same.lower(), same.upper(), same.p_above(0.0), same.p_below(0.0)) == (0.5, 0.5, 0.0, 1.0)
    assert Paired.of([0.0, 0.0]).p_above(0.0) == 1.0


@pytest.mark.parametrize(("n", "alpha"), list(itertools.product((2, 3, 5, 20), (0.05, 0.0125))))
def test_detectable_difference_has_its_power(n: int, alpha: float) -> None:
    paired = Paired(n, 0.0, 0.4)
    noncentrality = paired.detectable(alpha) / paired.error
    power = 1 - nctdtr(n - 1, noncentrality, t_quantile(1 - alpha, n - 1))
    assert power == pytest.approx(0.8, abs=1e-6)


def test_holm_of_a_textbook_family() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("runs", "published", "trained", "status"),
    [
        ([31.64], 31.7, False, "reproduced"),
        ([31.6], 31.7, False, "reproduced"),
        ([31.59], 31.7, False, "not reproduced"),
        ([31.81], 31.7, False, "not reproduced"),
        ([31.7], 31.7, True, "inconclusive"),
        ([60.0], 31.7, True, "inconclusive"),
        (RUNS, 51.7, True, "reproduced"),
        (RUNS, 51.9, True, "not reproduced"),
        (RUNS, 48.5, True, "not reproduced"),
    ],
)
def test_references(runs: list[float], published: float, trained: bool, status: str) -> None:
    found = judge_reference(runs, published, trained=trained)
    assert found.status == status and f"published {published:g}" in found.why


def test_interval_contains_its_ends() -> None:
    assert 1.0 in Interval(0.0, 1.0) and 1.1 not in Interval(0.0, 1.0) and "x" not in Interval(0.0, 1.0)


def test_bootstrap_interval_leaves_out_as_many_on_both_sides() -> None:
    replicates = np.arange(1.0, 200.0)  # 199: 2.5 % is the 5th, 97.5 % the 195th
    assert bootstrap_interval(replicates) == pytest.approx((5.0, 195.0))


def test_weights_are_draws_with_replacement() -> None:
    weights = draw(50, 400, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 50).all() and weights.mean() == 1.0
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.05)


def test_different_sets_are_not_compared() -> None:
    from resampling import scene

    from bench.evaluation.matching import match_coco

    one, two = (match_coco(*scene(seed, images=n)[:2]) for seed, n in ((0, 5), (1, 6)))
    with pytest.raises(BenchError, match="different images or categories"):
        compare_images(one, two, COCO, 100)


def test_chunks_of_replicates_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from resampling import scene

    from bench.evaluation.matching import match_coco
    from bench.statistics import bootstrap

    gt, a, b = scene(5)
    sides = match_coco(gt, a), match_coco(gt, b)
    whole: Comparison = compare_images(*sides, COCO, 100)
    monkeypatch.setattr(bootstrap, "CHUNK", 7)
    assert compare_images(*sides, COCO, 100) == whole


def test_the_simulation_repeats_and_is_no_toy() -> None:
    from tests.coverage.claims import claims, regimes
    from tests.coverage.images import trial
    from tests.coverage.seeds import intervals, pipelines

    one = trial(1, 3)
    assert one == trial(1, 3) != trial(1, 4)
    assert 0.3 < one.ap < 0.6 and one.interval.low < one.point < one.interval.high
    rates = [*intervals(50), *pipelines(50), *claims(50), *regimes(50)]
    assert len(rates) >= 40 and all(0 <= rate.interval[0] <= rate.value <= rate.interval[1] <= 1 for rate in rates)
    assert rates[0].value > 0.8  # seed interval


RESULTS = Path(__file__).parents[1] / "results" / "statistics"


def test_committed_coverage_meets_its_bars() -> None:
    from tests.coverage.report import markdown

    found: dict[str, Any] = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))
    assert (RESULTS / "coverage.md").read_text(encoding="utf-8") == markdown(found)
    rates = [rate for group in found["rates"].values() for rate in group]
    assert len(rates) == 60 and all(rate["met"] is not False for rate in rates)
    assert {rate["trials"] for rate in found["rates"]["images"]} == {2000, 50}
    assert {rate["trials"] for rate in found["rates"]["null"]} == {2000}
    family_wise = [rate for rate in found["rates"]["null"] if rate["what"].startswith("some category differs")]
    assert [rate["interval"][1] <= 0.07 and rate["hits"] <= 0.05 * 2000 for rate in family_wise] == [True, True]
    assert found["cost"]["cpu_s"] <= 1800
