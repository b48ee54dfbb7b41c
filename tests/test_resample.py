"""Replicates from one matching pass equal what a scorer says of the resampled set."""

from typing import Any

import numpy as np
import pytest
from resampling import repeated, scene

from bench.evaluation.coco import METRICS, score_coco
from bench.evaluation.matching import Matches, match_coco, match_voc
from bench.evaluation.metric import metric_of
from bench.evaluation.resample import Resampled, resample
from bench.evaluation.scores import Scores
from bench.evaluation.voc import score_voc
from bench.schema.suite import Metric

EXACT = 1e-9
COCO = metric_of(Metric(variant="coco"))


def draws(seed: int, replicates: int, images: int) -> Any:
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(replicates)])


def compare(found: Resampled, at: int, expected: Scores) -> None:
    assert found.metrics.keys() == expected.metrics.keys()
    pairs = [(found.metrics[name][at], value) for name, value in expected.metrics.items()]
    pairs += [(found.per_category[name][at], values["AP"]) for name, values in expected.per_category.items()]
    for ours, theirs in pairs:
        assert (-1 if np.isnan(ours) else ours) == pytest.approx(theirs, abs=EXACT)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_coco_replicates_are_those_of_pycocotools(seed: int, tied: bool) -> None:
    gt, detections, _ = scene(seed, tied=tied)
    weights = draws(seed, 8, len(gt["images"]))
    weights[0] = 1
    found = resample(match_coco(gt, detections, area_scale=0.5), weights, COCO)
    assert tuple(found.metrics) and set(found.metrics) == set(METRICS)
    for at, weight in enumerate(weights):
        compare(found, at, score_coco(*repeated(gt, detections, weight), area_scale=0.5))


@pytest.mark.parametrize("variant", ["voc07", "voc12"])
@pytest.mark.parametrize("seed", range(6))
def test_voc_replicates_are_those_of_the_scorer(seed: int, variant: Any) -> None:
    gt, detections, _ = scene(seed)
    weights = draws(seed, 8, len(gt["images"]))
    weights[0] = 1
    found = resample(match_voc(gt, detections, pixels="exclusive"), weights, metric_of(Metric(variant=variant)))
    for at, weight in enumerate(weights):
        compare(found, at, score_voc(*repeated(gt, detections, weight), variant=variant, pixels="exclusive"))


def test_more_than_100_detections_of_an_image() -> None:
    gt, detections, _ = scene(3, images=4, categories=2)
    many = [{**d, "score": d["score"] + 0.01 * k} for d in detections for k in range(30)]
    many.sort(key=lambda d: d["image_id"])
    weights = draws(0, 4, 4)
    found = resample(match_coco(gt, many), weights, COCO)
    for at, weight in enumerate(weights):
        compare(found, at, score_coco(*repeated(gt, many, weight)))


def test_threads_change_nothing() -> None:
    gt, detections, _ = scene(1)
    matches, weights = match_coco(gt, detections), draws(1, 7, 12)
    one, three = resample(matches, weights, COCO), resample(matches, weights, COCO, jobs=3)
    assert all(np.array_equal(one.metrics[name], three.metrics[name], equal_nan=True) for name in METRICS)


def test_no_detection_is_zero_and_no_object_undefined() -> None:
    gt, _, _ = scene(2)
    found = resample(match_coco(gt, []), np.ones((1, 12), np.int32), COCO)
    compare(found, 0, score_coco(gt, []))
    empty = {**gt, "annotations": []}
    matches: Matches = match_coco(empty, [])
    assert np.isnan(resample(matches, np.ones((1, 12), np.int32), COCO).metrics["AP"]).all()
