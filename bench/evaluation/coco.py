"""COCO's box metrics, by pycocotools' COCOeval (Lin et al., "Microsoft COCO", 2014;
cocodataset.org/#detection-eval).

What COCOeval makes of the ground truth:

* `iscrowd: 1` is neither hit nor miss, and takes any number of detections.
* `ignore` has no effect: COCOeval overwrites it with `iscrowd`, so `ignore: 1` is an ordinary object.
* `difficult` has no effect: COCO does not know it. Whoever wants difficult boxes left out makes them crowd
  (`difficult: crowd` of a VOC data set).
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.evaluation.scores import Scores, category_names, check_references

METRICS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR1", "AR10", "AR100", "AR_S", "AR_M", "AR_L")
"""In the order of `COCOeval.stats`; S, M, L are the area ranges, AR1 the recall at one box an image."""

AREAS = ("all", "small", "medium", "large")
_SMALL, _LARGE, _ALL = 32.0**2, 96.0**2, 1e5**2  # px², COCO's own


def score_coco(gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], *, area_scale: float = 1.0) -> Scores:
    """The 12 numbers of COCO, and AP, AP50, AP75, AP_S, AP_M, AP_L of each category.

    Args:
        gt: COCO's `images`, `annotations` (`image_id`, `category_id`, `bbox` [x, y, w, h] in px; `area` in
            px² where absent is w·h, `iscrowd` 0) and `categories`. Annotation ids are not read: COCOeval
            loses an object whose id is 0 or repeats. Not changed.
        detections: `image_id`, `category_id`, `bbox` [x, y, w, h] in px, `score`; equal scores rank in this
            order. Not changed. None at all is AP 0.
        area_scale: factor on the area thresholds 32² and 96² px²; for images of another side than COCO's
            640 px (side / 640)².

    Raises:
        BenchError: a detection on an image or of a category that `gt` lacks.
    """
    check_references(gt, detections)
    evaluation = evaluator(gt, detections, area_scale)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = category_names(gt)
    precision = evaluation.eval["precision"][:, :, :, :, -1]  # IoU × recall × category × area, 100 detections
    per_category = {
        names[int(key)]: _category(precision[:, :, column]) for column, key in enumerate(evaluation.params.catIds)
    }
    stats = [float(value) for value in evaluation.stats]
    return Scores(dict(zip(METRICS, stats, strict=True)), per_category)


def evaluator(gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], area_scale: float) -> COCOeval:
    """An evaluation that has not begun; arguments as `score_coco` has them, references checked before."""
    evaluation = COCOeval(_ground_truth(gt), _results(gt, detections), "bbox")
    small, large = _SMALL * area_scale, _LARGE * area_scale
    evaluation.params.areaRng = [[0.0, _ALL], [0.0, small], [small, large], [large, _ALL]]
    return evaluation


def _category(precision: npt.NDArray[np.float64]) -> dict[str, float]:
    """Metrics from precision by IoU (10: .5, .55 … .95) × recall (101) × area (all, small, medium, large)."""
    return {
        "AP": _mean(precision[:, :, 0]),
        "AP50": _mean(precision[0, :, 0]),
        "AP75": _mean(precision[5, :, 0]),
        "AP_S": _mean(precision[:, :, 1]),
        "AP_M": _mean(precision[:, :, 2]),
        "AP_L": _mean(precision[:, :, 3]),
    }


def _mean(precision: npt.NDArray[np.float64]) -> float:
    """COCOeval's mean: -1 marks what is undefined."""
    defined = precision[precision > -1]
    return float(np.mean(defined)) if defined.size else -1.0


def _ground_truth(gt: Mapping[str, Any]) -> COCO:
    annotations = [
        {
            "id": number,
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "bbox": annotation["bbox"],
            "area": annotation.get("area", annotation["bbox"][2] * annotation["bbox"][3]),
            "iscrowd": annotation.get("iscrowd", 0),
        }
        for number, annotation in enumerate(gt["annotations"], start=1)
    ]
    return _index(gt, annotations)


def _results(gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> COCO:
    """What `COCO.loadRes` makes, without its changes to the input and its fall over an empty list."""
    annotations = [
        {
            "id": number,
            "image_id": detection["image_id"],
            "category_id": detection["category_id"],
            "bbox": detection["bbox"],
            "area": detection["bbox"][2] * detection["bbox"][3],
            "iscrowd": 0,
            "score": detection["score"],
        }
        for number, detection in enumerate(detections, start=1)
    ]
    return _index(gt, annotations)


def _index(gt: Mapping[str, Any], annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": gt["images"], "categories": gt["categories"], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
