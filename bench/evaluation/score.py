"""Scores of a data set's ground truth and detections under a declared metric."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.evaluation.coco import score_coco
from bench.evaluation.scores import Scores
from bench.evaluation.voc import score_voc
from bench.schema.suite import Metric


def score(gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], metric: Metric) -> Scores:
    """Score COCO results against a COCO ground truth by the protocol's metric."""
    if metric.variant == "coco":
        return score_coco(gt, detections, area_scale=(metric.area_side / 640) ** 2)
    return score_voc(gt, detections, variant=metric.variant, iou=metric.iou, pixels=metric.pixels)
