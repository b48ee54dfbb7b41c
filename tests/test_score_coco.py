"""COCO scores equal plain pycocotools exactly."""

import contextlib
import copy
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.errors import BenchError
from bench.evaluation.coco import METRICS, score_coco

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
FAKEBBOX = SHARED / "parity" / "coco_fakebbox100"

Coco = dict[str, list[dict[str, Any]]]
Detections = list[dict[str, Any]]


def plain(gt: Coco, detections: Detections, areas: list[float] | None = None) -> list[float]:
    """The twelve numbers as pycocotools' own documentation computes them, from copies."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, **copy.deepcopy(gt)}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(detections)), "bbox")
        if areas:
            evaluation.params.areaRng = [[0, 1e10], [0, areas[0]], areas, [areas[1], 1e10]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def case(seed: int) -> tuple[Coco, Detections]:
    """Crowds, ties, empty images, many detections, categories without ground truth or without detections."""
    r = random.Random(seed)
    classes = r.choice([2, 5, 9])
    gt: Coco = {
        "images": [{"id": i} for i in r.sample(range(1000), r.choice([1, 4, 8]))],
        "categories": [{"id": c, "name": f"c{c}"} for c in r.sample(range(1, 90), classes)],
        "annotations": [],
    }
    seen, found = gt["categories"][:-1], gt["categories"][1:]
    detections: Detections = []
    digits = r.choice([1, 2, 6])
    for image in gt["images"][1:] or gt["images"]:
        for _ in range(r.randrange(12)):
            w, h = r.choice([8, 40, 150]) * r.uniform(0.5, 1.5), r.choice([8, 40, 150]) * r.uniform(0.5, 1.5)
            box = [r.uniform(0, 300), r.uniform(0, 300), w, h]
            gt["annotations"].append(
                {
                    "id": len(gt["annotations"]) + 1,
                    "image_id": image["id"],
                    "category_id": r.choice(seen)["id"],
                    "bbox": box,
                    "area": w * h * r.uniform(0.5, 1),
                    "iscrowd": int(r.random() < 0.2),
                    "ignore": int(r.random() < 0.2),
                }
            )
    for image in gt["images"]:
        near = [a for a in gt["annotations"] if a["image_id"] == image["id"]]
        for _ in range(r.choice([0, 5, 40, 260])):
            base = r.choice(near) if near and r.random() < 0.8 else None
            box = base["bbox"] if base else [r.uniform(0, 300), r.uniform(0, 300), 30.0, 30.0]
            category = base["category_id"] if base and r.random() < 0.8 else r.choice(found)["id"]
            moved = [value + r.choice([0, 0, 0.05, 0.2]) * r.uniform(-1, 1) * min(box[2:]) for value in box]
            score = round(r.random(), digits)
            detections.append({"image_id": image["id"], "category_id": category, "bbox": moved, "score": score})
    if not detections:
        detections.append({**gt["images"][0], "image_id": gt["images"][0]["id"], "bbox": [0, 0, 1, 1]})
        detections[0] |= {"category_id": found[0]["id"], "score": 0.5}
    return gt, detections


@pytest.mark.parametrize("seed", range(40))
def test_random_cases_equal_pycocotools_exactly(seed: int) -> None:
    gt, detections = case(seed)
    before = copy.deepcopy((gt, detections))
    scores = score_coco(gt, detections)
    assert list(scores.metrics) == list(METRICS)
    assert list(scores.metrics.values()) == plain(gt, detections)
    assert (gt, detections) == before, "the input was changed"
    for category in gt["categories"]:
        own = [d for d in detections if d["category_id"] == category["id"]]
        alone = {**gt, "annotations": [a for a in gt["annotations"] if a["category_id"] == category["id"]]}
        metrics = score_coco(alone, own).metrics
        values = scores.per_category[category["name"]]
        assert values == {key: metrics[key] for key in values}
        assert {"AP", "AP50", "AP75"} <= set(values)


def test_the_random_cases_hold_what_they_should() -> None:
    cases = [case(seed) for seed in range(40)]
    assert any(a["iscrowd"] for gt, _ in cases for a in gt["annotations"])
    assert any(len(ds) > len({d["score"] for d in ds}) for _, ds in cases)
    assert any(sum(d["image_id"] == i["id"] for d in ds) > 200 for gt, ds in cases for i in gt["images"])
    assert any(max(plain(gt, ds)[:3]) > 0.3 for gt, ds in cases)


@pytest.mark.skipif(not FAKEBBOX.is_dir(), reason="the parity files are not here (set QDET_SHARED)")
def test_published_fake_results() -> None:
    gt = json.loads((FAKEBBOX / "instances_val2014_100.json").read_text())
    detections = json.loads((FAKEBBOX / "instances_val2014_fakebbox100_results.json").read_text())
    expected = json.loads((FAKEBBOX / "expected.json").read_text())["bbox"]
    values = list(score_coco(gt, detections).metrics.values())
    assert values == plain(gt, detections)
    assert values == pytest.approx(list(expected.values()), abs=1e-12)


def tiny(**changes: Any) -> Coco:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], **changes}
    return {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": [annotation]}


HIT: Detections = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.5}]


def test_no_detections_is_zero_and_undefined_ranges_stay() -> None:
    metrics = score_coco(tiny(), []).metrics
    assert metrics["AP"] == metrics["AR100"] == metrics["AP_S"] == 0
    assert metrics["AP_M"] == metrics["AR_L"] == -1


def test_no_ground_truth_is_undefined() -> None:
    scores = score_coco({**tiny(), "annotations": []}, HIT)
    assert set(scores.metrics.values()) == {-1}
    assert set(scores.per_category["a"].values()) == {-1}


def test_nothing_at_all_is_undefined() -> None:
    assert set(score_coco({"images": [], "annotations": [], "categories": []}, []).metrics.values()) == {-1}


@pytest.mark.parametrize("extra", [{"ignore": 1}, {"difficult": 1}, {"iscrowd": 0}, {"area": 400}])
def test_ignore_and_difficult_have_no_effect(extra: dict[str, int]) -> None:
    assert score_coco(tiny(**extra), HIT).metrics["AP"] == pytest.approx(1)
    assert score_coco(tiny(**extra), []).metrics["AP"] == 0


def test_annotation_id_zero_and_repeated_ids_count() -> None:
    assert score_coco(tiny(id=0), HIT).metrics["AP"] == pytest.approx(1)
    given = tiny(id=0, iscrowd=0, area=400)
    assert plain(given, HIT)[0] == 0  # the fault of COCOeval that renumbering avoids
    gt = tiny()
    gt["annotations"].append({**gt["annotations"][0], "bbox": [50, 50, 20, 20]})
    assert score_coco(gt, HIT).metrics["AR100"] == pytest.approx(0.5)


def test_area_scale_moves_the_ranges() -> None:
    gt, detections = case(3)
    scale = (320 / 640) ** 2
    scaled = score_coco(gt, detections, area_scale=scale).metrics
    assert list(scaled.values()) == plain(gt, detections, [32**2 * scale, 96**2 * scale])
    assert scaled != score_coco(gt, detections).metrics
    metrics = score_coco(tiny(), HIT, area_scale=(128 / 640) ** 2).metrics  # 400 px², large from 368.64 on
    assert metrics["AP_L"] == pytest.approx(1)
    assert metrics["AP_S"] == metrics["AP_M"] == -1


def test_repeated_names_are_told_apart() -> None:
    gt = tiny()
    gt["categories"] = [{"id": i, "name": name} for i, name in ((2, "a"), (1, "a"), (3, "b"))]
    assert list(score_coco(gt, HIT).per_category) == ["a#1", "a#2", "b"]
    gt["categories"][2]["name"] = "a#1"
    assert list(score_coco(gt, HIT).per_category) == ["a#1", "a#2", "a#1#3"]


@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_unknown_ids_are_refused(key: str) -> None:
    with pytest.raises(BenchError, match=f"detection 1: {key} 9 is not in the ground truth"):
        score_coco(tiny(), [*HIT, {**HIT[0], key: 9}])


def test_it_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    score_coco(tiny(), HIT)
    assert capsys.readouterr() == ("", "")
