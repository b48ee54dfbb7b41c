"""VOC scores: Padilla's published case, a slow reference, and cases computed by hand."""

import copy
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError, UsageError
from bench.evaluation.voc import Pixels, Variant, score_voc

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
PADILLA = SHARED / "parity" / "padilla_voc_case1"
needs_padilla = pytest.mark.skipif(not PADILLA.is_dir(), reason="the parity files are not here (set QDET_SHARED)")

Coco = dict[str, list[dict[str, Any]]]
Detections = list[dict[str, Any]]


def padilla() -> tuple[Coco, Detections, dict[str, dict[str, float]]]:
    gt: Coco = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    detections: Detections = []
    for number, path in enumerate(sorted((PADILLA / "gts").iterdir()), start=1):
        gt["images"].append({"id": number})
        common = {"image_id": number, "category_id": 1}
        for line in path.read_text().splitlines():
            gt["annotations"].append({**common, "bbox": [float(v) for v in line.split()[1:]]})
        for line in (PADILLA / "dets" / path.name).read_text().splitlines():
            score, *box = (float(v) for v in line.split()[1:])
            detections.append({**common, "bbox": box, "score": score})
    expected = json.loads((PADILLA / "expected.json").read_text())
    return gt, detections, {"voc07": expected["eleven_point"], "voc12": expected["every_point"]}


@needs_padilla
@pytest.mark.parametrize("iou", ["0.1", "0.3", "0.5", "0.75"])
@pytest.mark.parametrize("variant", ["voc07", "voc12"])
def test_padilla_with_inclusive_pixels(variant: Variant, iou: str) -> None:
    gt, detections, expected = padilla()
    scores = score_voc(gt, detections, variant=variant, iou=float(iou))
    assert abs(scores.metrics["mAP"] - expected[variant][iou]) < 1e-9
    assert (scores.per_category["object"]["gt"], scores.per_category["object"]["detections"]) == (15, 24)


@needs_padilla
def test_padilla_pins_the_pixel_convention() -> None:
    gt, detections, expected = padilla()

    def off(variant: Variant, iou: str) -> float:
        scores = score_voc(gt, detections, variant=variant, iou=float(iou), pixels="exclusive")
        return abs(scores.metrics["mAP"] - expected[variant][iou])

    assert min(off("voc07", "0.1"), off("voc12", "0.1"), off("voc12", "0.3")) > 0.01


def slow(gt: Coco, detections: Detections, variant: str, threshold: float, extent: float) -> list[float]:
    """AP of each category, one loop a sentence of the development kit."""
    aps = []
    for category in sorted(c["id"] for c in gt["categories"]):
        objects = [a for a in gt["annotations"] if a["category_id"] == category]
        hard = [bool(a.get("difficult") or a.get("iscrowd")) for a in objects]
        positives, taken = hard.count(False), [False] * len(objects)
        ranked = sorted((d for d in detections if d["category_id"] == category), key=lambda d: -d["score"])
        tp = fp = 0
        points: list[tuple[float, float]] = []
        for d in ranked:
            highest, best = float("-inf"), -1
            for index, a in enumerate(objects):
                if a["image_id"] != d["image_id"]:
                    continue
                (x, y, w, h), (u, v, s, t) = d["bbox"], a["bbox"]
                iw = min(x + w, u + s) - max(x, u) + extent
                ih = min(y + h, v + t) - max(y, v) + extent
                if iw > 0 and ih > 0:
                    areas = ((x + w) - x + extent) * ((y + h) - y + extent) + ((u + s) - u + extent) * (
                        (v + t) - v + extent
                    )
                    if iw * ih / (areas - iw * ih) > highest:
                        highest, best = iw * ih / (areas - iw * ih), index
            if highest < threshold:
                fp += 1
            elif hard[best]:
                continue
            elif taken[best]:
                fp += 1
            else:
                taken[best] = True
                tp += 1
            if positives:
                points.append((tp / positives, tp / (tp + fp)))
        if not positives:
            aps.append(-1.0)
        elif variant == "voc07":
            levels = [k * 0.1 for k in range(11)]
            aps.append(sum(max((p for r, p in points if r >= t), default=0) for t in levels) / 11)
        else:
            ap, last = 0.0, 0.0
            for index, (r, _) in enumerate(points):
                ap, last = ap + (r - last) * max(p for _, p in points[index:]), r
            aps.append(ap)
    return aps


def case(seed: int) -> tuple[Coco, Detections]:
    """Whole-number boxes and one-digit scores: many equal IoUs, IoUs at the threshold, and equal scores."""
    r = random.Random(seed)
    gt: Coco = {
        "images": [{"id": i} for i in r.sample(range(100), 6)],
        "categories": [{"id": c, "name": f"c{c}"} for c in r.sample(range(50), 4)],
        "annotations": [],
    }
    detections: Detections = []
    for image in gt["images"][1:]:
        for _ in range(r.randrange(14)):
            common = {"image_id": image["id"], "category_id": r.choice(gt["categories"][1:])["id"]}
            box = [r.randrange(20), r.randrange(20), r.randrange(12), r.randrange(12)]
            flags = {"difficult": int(r.random() < 0.2), "iscrowd": int(r.random() < 0.1)}
            gt["annotations"].append({**common, "bbox": box, **flags})
            for _ in range(r.randrange(5)):
                moved = [max(0, value + r.choice([-2, -1, 0, 0, 1, 2])) for value in box]
                detections.append({**common, "bbox": moved, "score": round(r.random(), 1)})
    detections += [{**r.choice(detections), "image_id": r.choice(gt["images"])["id"]} for _ in range(30)]
    detections += [{**r.choice(detections), "category_id": r.choice(gt["categories"])["id"]} for _ in range(9)]
    r.shuffle(detections)
    return gt, detections


@pytest.mark.parametrize("seed", range(30))
def test_random_cases_equal_the_slow_reference(seed: int) -> None:
    gt, detections = case(seed)
    before = copy.deepcopy((gt, detections))
    settings: list[tuple[Variant, float, Pixels]] = [
        (variant, iou, pixels)
        for variant in ("voc07", "voc12")
        for iou in (0.25, 0.5, 0.75)
        for pixels in ("inclusive", "exclusive")
    ]
    for variant, iou, pixels in settings:
        scores = score_voc(gt, detections, variant=variant, iou=iou, pixels=pixels)
        expected = slow(gt, detections, variant, iou, float(pixels == "inclusive"))
        aps = [values["AP"] for values in scores.per_category.values()]
        assert aps == pytest.approx(expected, abs=1e-12)
        defined = [ap for ap in expected if ap >= 0]
        assert scores.metrics["mAP"] == pytest.approx(sum(defined) / len(defined), abs=1e-12)
    assert (gt, detections) == before, "the input was changed"


def scene(*boxes: list[float], **flags: int) -> Coco:
    annotations = [{"image_id": 1, "category_id": 1, "bbox": box, **flags} for box in boxes]
    return {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": annotations}


def found(*rows: tuple[list[float], float]) -> Detections:
    return [{"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in rows]


A, B, FAR = [0.0, 0.0, 9.0, 9.0], [20.0, 20.0, 9.0, 9.0], [60.0, 60.0, 9.0, 9.0]


def test_by_hand() -> None:
    # Hit, miss, hit of two objects: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    gt, detections = scene(A, B), found((A, 0.9), (FAR, 0.8), (B, 0.7))
    assert score_voc(gt, detections, variant="voc12").metrics["mAP"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert score_voc(gt, detections, variant="voc07").metrics["mAP"] == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_a_second_detection_of_an_object_is_a_miss() -> None:
    # The better box comes second and is the miss all the same: precision 1, 1/2, 2/3.
    shifted = [1.0, 0.0, 9.0, 9.0]
    detections = found((shifted, 0.9), (A, 0.8), (B, 0.7))
    assert score_voc(scene(A, B), detections, variant="voc12").metrics["mAP"] == pytest.approx(5 / 6)


def test_a_taken_object_does_not_hand_on_to_the_next_best() -> None:
    # Both go to A, although the second overlaps the neighbour enough (IoU 9/11) and that one is free.
    neighbour = [0.0, 0.0, 9.0, 8.0]
    detections = found((A, 0.9), (A, 0.8))
    assert score_voc(scene(A, neighbour), detections, variant="voc12").metrics["mAP"] == pytest.approx(0.5)


@pytest.mark.parametrize("flag", ["difficult", "iscrowd"])
def test_difficult_is_neither_hit_nor_miss(flag: str) -> None:
    gt = scene(A)
    gt["annotations"] += scene(B, **{flag: 1})["annotations"]
    alone = score_voc(scene(A), found((A, 0.5)), variant="voc12")
    both = score_voc(gt, found((B, 0.9), (B, 0.8), (A, 0.5)), variant="voc12")
    assert both.metrics == alone.metrics == {"mAP": pytest.approx(1)}
    assert both.per_category["a"]["gt"] == 1
    assert both.per_category["a"]["detections"] == 3


def test_the_threshold_itself_counts() -> None:
    # Inclusive: 10 x 10 against 10 x 5, IoU exactly 1/2; exclusive: 9 x 9 against 9 x 4, less.
    detections = found(([0.0, 0.0, 9.0, 4.0], 0.5))
    assert score_voc(scene(A), detections, variant="voc12").metrics["mAP"] == 1
    assert score_voc(scene(A), detections, variant="voc12", iou=0.5000001).metrics["mAP"] == 0
    assert score_voc(scene(A), detections, variant="voc12", pixels="exclusive").metrics["mAP"] == 0


def test_equal_scores_rank_in_file_order() -> None:
    first = score_voc(scene(A), found((A, 0.5), (FAR, 0.5)), variant="voc12").metrics["mAP"]
    last = score_voc(scene(A), found((FAR, 0.5), (A, 0.5)), variant="voc12").metrics["mAP"]
    assert (first, last) == (1, 0.5)


def test_categories_without_ground_truth_are_left_out() -> None:
    gt = scene(A)
    gt["categories"] += [{"id": 2, "name": "b"}, {"id": 3, "name": "hard"}]
    gt["annotations"].append({"image_id": 1, "category_id": 3, "bbox": B, "difficult": 1})
    stray = [{"image_id": 1, "category_id": 2, "bbox": A, "score": 1.0}]
    scores = score_voc(gt, found((A, 0.5)) + stray, variant="voc07")
    assert scores.metrics["mAP"] == pytest.approx(1)
    assert scores.per_category["b"] == {"AP": -1, "gt": 0, "detections": 1}
    assert scores.per_category["hard"] == {"AP": -1, "gt": 0, "detections": 0}


def test_nothing_found_and_nothing_there() -> None:
    assert score_voc(scene(A), [], variant="voc07").metrics["mAP"] == 0
    assert score_voc(scene(), found((A, 0.5)), variant="voc12").metrics["mAP"] == -1


@pytest.mark.parametrize("iou", [0, -1, 1.01, float("nan")])
def test_a_threshold_out_of_range(iou: float) -> None:
    with pytest.raises(UsageError, match="IoU threshold"):
        score_voc(scene(A), [], variant="voc12", iou=iou)


def test_unknown_image() -> None:
    with pytest.raises(BenchError, match="detection 0: image_id 7"):
        score_voc(scene(A), [{**found((A, 0.5))[0], "image_id": 7}], variant="voc12")


def test_a_test_split_takes_seconds() -> None:
    r = random.Random(0)
    gt: Coco = {
        "images": [{"id": i} for i in range(4952)],
        "categories": [{"id": c, "name": str(c)} for c in range(20)],
        "annotations": [
            {"image_id": r.randrange(4952), "category_id": r.randrange(20), "bbox": [r.random(), 0, 50, 50]}
            for _ in range(12_000)
        ],
    }
    detections = [
        {**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": r.random()}
        for a in r.choices(gt["annotations"], k=200_000)
    ]
    start = time.process_time()
    score_voc(gt, detections, variant="voc07")
    assert time.process_time() - start < 10
