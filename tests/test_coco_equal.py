"""COCO's numbers by hotcoco and the matches of the bootstrap are those of pycocotools, to the last bit."""

import contextlib
import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.evaluation.boxes import Detections
from bench.evaluation.coco import METRICS, score_coco
from bench.evaluation.matching import match_coco
from bench.evaluation.voc import HIT, MISS, NEITHER

Coco = dict[str, Any]
SIDES = (4.0, 9.6, 16.0, 32.0, 48.0, 96.0, 150.0)
"""Some lie on the borders of area ranges, at a scale of 1 or 1/4."""


def random_set(seed: int) -> tuple[Coco, list[Coco]]:
    """Images and categories without objects, crowds, ties, up to 130 detections an image, boxes without extent."""
    rng = np.random.default_rng(seed)
    images, categories = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    # Ids that are negative or beyond 2^53 in every third set.
    shift = int(rng.choice([1, -3, 2**54]))
    gt: Coco = {
        "images": [{"id": 3 * i + shift} for i in range(images)],
        "categories": [{"id": 7 * k, "name": f"c{k}"} for k in range(categories)],
        "annotations": [],
    }
    detections: list[Coco] = []
    for image in rng.permutation(images).tolist():
        boxes = []
        for _ in range(int(rng.choice([0, 0, 2, 4, 8]))):
            box = [*rng.integers(0, 30, 2) * 4.0, *rng.choice(SIDES, 2)]
            if rng.random() < 0.1:
                box[int(rng.integers(2, 4))] = float(rng.choice([0, -5]))
            area = box[2] * box[3] * float(rng.choice([1, 1, 1, 0.5]))
            boxes.append((box, 7 * int(rng.integers(max(1, categories - 1)))))  # the last category: often none
            gt["annotations"].append({
                "image_id": 3 * image + shift, "category_id": boxes[-1][1], "bbox": [float(v) for v in box],
                "area": area, "iscrowd": int(rng.random() < 0.2),
            })  # fmt: skip
        for _ in range(int(rng.choice([0, 2, 10, 130], p=[0.25, 0.4, 0.3, 0.05]))):
            box, category = [*rng.integers(0, 30, 2) * 4.0, *rng.choice(SIDES, 2)], 7 * int(rng.integers(categories))
            if boxes and rng.random() < 0.6:
                box, category = boxes[int(rng.integers(len(boxes)))]
                box = [max(0.0, v + float(rng.choice([0, 0, 1, -2, 5]))) for v in box]
            score = float(rng.integers(0, 12)) / 10 if seed % 2 else float(rng.random())
            detections.append({
                "image_id": 3 * image + shift, "category_id": category, "bbox": [float(v) for v in box], "score": score,
            })  # fmt: skip
    return gt, [detections[i] for i in rng.permutation(len(detections))]


def pycocotools(gt: Coco, detections: list[Coco], scale: float = 1.0) -> COCOeval:
    """pycocotools itself, evaluated."""

    def index(annotations: list[Coco]) -> COCO:
        coco = COCO()
        coco.dataset = {**gt, "annotations": [{**one, "id": n} for n, one in enumerate(annotations, start=1)]}
        coco.createIndex()
        return coco

    results = [{**d, "area": d["bbox"][2] * d["bbox"][3], "iscrowd": 0} for d in detections]
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):
        evaluation = COCOeval(index(gt["annotations"]), index(results), "bbox")
        small, large = 32**2 * scale, 96**2 * scale
        evaluation.params.areaRng = [[0, 1e5**2], [0, small], [small, large], [large, 1e5**2]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def differences(gt: Coco, detections: list[Coco], scale: float = 1.0, peer: Any = None) -> list[str]:
    """The numbers in which our scores are not exactly pycocotools'."""
    peer, ours = peer or pycocotools(gt, detections, scale), score_coco(gt, detections, area_scale=scale)
    found = [name for name, value in zip(METRICS, peer.stats, strict=True) if ours.metrics[name] != value]
    for k, name in enumerate(ours.per_category):
        precision = peer.eval["precision"][:, :, k, 0, -1]
        defined = precision[precision > -1]
        if ours.per_category[name]["AP"] != (float(np.mean(defined)) if defined.size else -1):
            found.append(name)
    return found


@pytest.mark.parametrize("tens", range(30))
def test_300_random_sets(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        gt, detections = random_set(seed)
        scale = 0.25 if seed % 5 == 0 else 1.0
        peer = pycocotools(gt, detections, scale)
        assert differences(gt, detections, scale, peer) == [], seed
        assert score_coco(gt, detections).scorer.startswith("hotcoco ")
        matches = match_coco(gt, detections, area_scale=scale)
        results = iter(peer.evalImgs)
        for cell in (cell for cells in matches.cells for cell in cells):
            for image in range(matches.images):
                compare_image(cell, image, next(results), peer.params.maxDets[-1])


def test_what_the_random_sets_hold() -> None:
    sets = [random_set(seed) for seed in range(300)]
    assert any(not found for _, found in sets) and any(not gt["annotations"] for gt, _ in sets)
    counts = [Counter((d["image_id"], d["category_id"]) for d in found) for _, found in sets]
    assert sum(max(count.values(), default=0) > 100 for count in counts) >= 10
    assert any(len({d["score"] for d in found}) < len(found) for _, found in sets)
    assert any(a["iscrowd"] for gt, _ in sets for a in gt["annotations"])
    assert any({i["id"] for i in gt["images"]} - {a["image_id"] for a in gt["annotations"]} for gt, _ in sets)
    assert any({c["id"] for c in gt["categories"]} - {a["category_id"] for a in gt["annotations"]} for gt, _ in sets)


def compare_image(cell: Any, image: int, result: Any, most: int) -> None:
    """One result of `evaluateImg`; the columns that count at no threshold are left out of a cell."""
    own = cell.image == image
    if result is None:
        assert not own.any() and cell.objects[image] == 0
        return
    assert cell.objects[image] == np.count_nonzero(np.asarray(result["gtIgnore"]) == 0)
    code = np.where(result["dtMatches"] != 0, HIT, MISS)
    code[result["dtIgnore"]] = NEITHER
    assert code.shape[1] <= most
    rank = cell.rank[own]
    assert np.all(np.diff(rank) > 0) and set(np.flatnonzero(code.any(axis=0))) == set(rank.tolist())
    np.testing.assert_array_equal(cell.code[:, own], code[:, rank])


def test_boxes_whose_area_is_lost_are_scored_by_pycocotools() -> None:
    """The one case in which hotcoco differs: IoU is 0/0, a match for COCOeval."""
    speck = [0.0, 0.0, 1e-200, 1e-200]
    gt: Coco = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": speck, "area": 0.0, "iscrowd": 0}],
    }
    detections = [{"image_id": 1, "category_id": 1, "bbox": speck, "score": 0.5}]
    scores = score_coco(gt, detections)
    assert scores.metrics["AP"] == pytest.approx(1) and scores.scorer.startswith("pycocotools ")
    assert differences(gt, detections) == []
    ((cell, *_),) = match_coco(gt, detections).cells
    assert (cell.code == HIT).all()


def test_the_size_of_boxes_does_not_matter_otherwise() -> None:
    rng = np.random.default_rng(0)
    for sides in ([1e-300, 1e-150, 0.0], [1e8, 1e5, 1.0]):
        for seed in range(20):
            gt, detections = random_set(seed)
            for one in (*gt["annotations"], *detections):
                one["bbox"] = [0.0, float(rng.choice([0, 1])), *(float(v) for v in rng.choice(sides, 2))]
            assert differences(gt, detections) == []


def test_arrays_and_result_lists_are_one() -> None:
    gt, detections = random_set(7)
    assert score_coco(gt, Detections.of(detections)) == score_coco(gt, detections)
