"""Harmony of score and IoU in saved predictions, as HQOD draws it (2408.02561, figs. 2, 4 and 5; VP-QOD 27f69e85).

A positive is a detection and a box of its class with IoU 0.5 or more: no matching one to one, so a detection may count
with several boxes, and a box with several detections. Crowd boxes count for nothing. Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.evaluation.boxes import AnyDetections, Detections, Objects

Array = npt.NDArray[np.float64]
LEAST_IOU = 0.5
BINS = 10
"""Of the IoU from 0.5 to 1, and of the gap |IoU - score| from 0 to 1."""
GRID = 40
"""Cells of the joint density on each side."""


@dataclass(frozen=True, eq=False)
class Positives:
    """Score and IoU of N positives."""

    score: Array
    iou: Array

    @property
    def gap(self) -> Array:
        """[N] |IoU - score|."""
        return np.abs(self.iou - self.score)

    def gap_histogram(self) -> Array:
        """Share of the positives in each tenth of the gap (fig. 5); zeros where there are none."""
        return _shares(self.gap, 0.0)

    def iou_histogram(self) -> Array:
        """Share of the positives in each of ten IoU intervals from 0.5 to 1 (fig. 4); zeros where there are none."""
        return _shares(self.iou, LEAST_IOU)

    def density(self) -> npt.NDArray[np.int64]:
        """[score, IoU] Number of positives in each cell, both from 0 to 1 (fig. 2)."""
        counts = np.histogram2d(self.score, self.iou, GRID, ((0.0, 1.0), (0.0, 1.0)))[0]
        return counts.astype(np.int64)

    def pearson(self) -> float | None:
        """Correlation of score and IoU; None for fewer than two positives, or where one of the two is constant."""
        if len(self.score) < 2 or np.ptp(self.score) == 0 or np.ptp(self.iou) == 0:
            return None
        return float(np.corrcoef(self.score, self.iou)[0, 1])

    def facts(self) -> dict[str, float]:
        """What a record keeps: `positives`, `gap_share` (of a gap up to 0.1) and, where defined, `pearson`."""
        found = {"positives": float(len(self.score))}
        if len(self.score):
            found["gap_share"] = float(self.gap_histogram()[0])
        pearson = self.pearson()
        return found if pearson is None else {**found, "pearson": pearson}


def positives(gt: Mapping[str, Any], detections: AnyDetections, least_score: float = 0.0) -> Positives:
    """Score and IoU of each positive; `gt` and `detections` as in `bench.evaluation.coco`."""
    objects, found = Objects.of(gt), Detections.of(detections)
    objects, found = objects.take(~objects.crowd), found.take(found.score >= least_score)
    boxes = _grouped(objects)
    scores, ious = [np.empty(0)], [np.empty(0)]
    for key, which in _grouped(found).items():
        if key in boxes:
            overlap = iou_matrix(found.box[which], objects.box[boxes[key]])
            at = np.nonzero(overlap >= LEAST_IOU)
            scores.append(found.score[which][at[0]])
            ious.append(overlap[at])
    return Positives(np.concatenate(scores), np.concatenate(ious))


def _grouped(boxes: Detections | Objects) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
    """Places by image and category, in the order of first places; those of one ascending."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, key in enumerate(zip(boxes.image.tolist(), boxes.category.tolist(), strict=True)):
        places.setdefault(key, []).append(place)
    return {key: np.array(value, np.int64) for key, value in places.items()}


def iou_matrix(a: Array, b: Array) -> Array:
    """[n, m] IoU of boxes [n, 4] and [m, 4], x, y, width, height in px; 0 for two without area."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    union = a[:, None, 2:].prod(axis=2) + b[None, :, 2:].prod(axis=2) - overlap
    result: Array = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return result


def _shares(values: Array, low: float) -> Array:
    counts = np.histogram(values, BINS, (low, 1.0))[0].astype(np.float64)
    return counts / max(len(values), 1)
