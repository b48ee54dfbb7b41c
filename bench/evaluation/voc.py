"""Average precision as the VOC development kit has it (Everingham et al., IJCV 2010; `VOCevaldet.m`,
`VOCap.m`).

Detections of a category are taken by falling score, ties in file order. Each goes to the object of its
category and image with the highest IoU, whether or not that one is taken already; it counts from IoU >=
threshold on (`>=` in `VOCevaldet.m` of 2007 and 2012 and in Padilla's evaluator). The first one is a hit, any
further one a miss, and one that goes to a difficult object is neither.

The eleven recall levels are k · 0.1 in double precision, as in the Python ports (py-faster-rcnn, mmdet,
Padilla): recalls of exactly 3/10, 6/10 and 7/10 lie just below their level. MATLAB's own `0:0.1:1` may
differ there by one rounding step.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.errors import UsageError
from bench.evaluation.boxes import AnyDetections, Detections, Flags, Floats, Ints, Objects, check_references
from bench.evaluation.scores import Scores, category_names

Variant = Literal["voc07", "voc12"]
Pixels = Literal["inclusive", "exclusive"]
NEITHER, HIT, MISS = 0, 1, 2
"""What a detection is at one IoU threshold."""


class _Boxes(NamedTuple):
    """N objects or detections, in file order."""

    image: Ints
    """N."""
    category: Ints
    """N."""
    corners: Floats
    """N x 4: left, top, right, bottom, px."""
    extra: Floats
    """N: score of a detection; 1 for an object that is neither hit nor miss."""

    def take(self, which: Flags | Ints) -> "_Boxes":
        return _Boxes(self.image[which], self.category[which], self.corners[which], self.extra[which])


def score_voc(
    gt: Mapping[str, Any],
    detections: AnyDetections,
    *,
    variant: Variant,
    iou: float = 0.5,
    pixels: Pixels = "inclusive",
) -> Scores:
    """mAP over all categories with ground truth, and `AP`, `gt`, `detections` of each category.

    Args:
        gt: COCO's `images`, `annotations` and `categories`; an annotation with `difficult: 1` or `iscrowd: 1`
            is neither hit nor miss. Not changed.
        detections: `image_id`, `category_id`, `bbox` [x, y, w, h] in px, `score`. Not changed.
        variant: `voc07`: mean of the highest precision at 11 recall levels; `voc12`: area under the monotone
            envelope of precision (VOC 2010 and later).
        iou: threshold, 0 < iou <= 1.
        pixels: `inclusive`: a box from x to x + w covers w + 1 columns, as in the kit, whose corners are
            pixel indices with w = xmax - xmin; `exclusive`: w columns, also for data whose w holds the + 1
            already.

    `gt` counts the objects that are neither difficult nor crowd. A category with none has AP -1 and is left
    out of the mean; without any such category mAP is -1.

    Raises:
        UsageError: `iou` out of range.
        BenchError: a detection on an image or of a category that `gt` lacks.
    """
    every = Detections.of(detections)
    check_references(gt, every)
    average = _AVERAGES[variant]
    per_category: dict[str, dict[str, float]] = {}
    images: dict[str, int] = {}
    for name, found in zip(category_names(gt).values(), match_categories(gt, every, iou, pixels), strict=True):
        positives = len(found.objects)
        hits = found.code[found.code != NEITHER] == HIT
        ap = average(*_curve(hits, positives)) if positives else -1.0
        per_category[name] = {"AP": ap, "gt": positives, "detections": len(found.code)}
        images[name] = len(np.unique(found.objects))
    defined = [values["AP"] for values in per_category.values() if values["gt"]]
    return Scores({"mAP": sum(defined) / len(defined) if defined else -1.0}, per_category, images=images)


class Matched(NamedTuple):
    """N detections of one category, by falling score."""

    image: Ints
    """N: image ids."""
    score: Floats
    """N."""
    code: npt.NDArray[np.int8]
    """N: NEITHER, HIT or MISS."""
    objects: Ints
    """Image id of each object that counts."""


def match_categories(gt: Mapping[str, Any], detections: Detections, iou: float, pixels: Pixels) -> Iterator[Matched]:
    """Each category by ascending id; arguments as `score_voc` has them, references checked before.

    Raises:
        UsageError: `iou` out of range.
    """
    if not 0 < iou <= 1:
        raise UsageError(f"the IoU threshold must lie above 0 and be at most 1, not {iou}")
    truth = Objects.of(gt)
    neither = (truth.crowd | truth.difficult).astype(np.float64)
    objects = _Boxes(truth.image, truth.category, _corners(truth.box), neither)
    found = _Boxes(detections.image, detections.category, _corners(detections.box), detections.score)
    for key in category_names(gt):
        own = objects.take(objects.category == key)
        ranked = found.take(found.category == key)
        ranked = ranked.take(np.argsort(-ranked.extra, kind="stable"))
        code = _codes(own, ranked, iou, _EXTENTS[pixels])
        yield Matched(ranked.image, ranked.extra, code, own.image[own.extra == 0])


def _corners(box: Floats) -> Floats:
    """N x 4 left, top, right, bottom, from x, y, w, h."""
    return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def _codes(own: _Boxes, ranked: _Boxes, iou: float, extent: float) -> npt.NDArray[np.int8]:
    """HIT, MISS or NEITHER of the ranked detections."""
    best, target = _nearest(own, ranked, extent)
    matched = best >= iou
    code = np.full(len(best), MISS, np.int8)
    code[np.flatnonzero(matched)[own.extra[target[matched]] > 0]] = NEITHER
    # Which object a detection goes to does not depend on what is taken: the first that goes there is the hit.
    rivals = np.flatnonzero(matched & (code != NEITHER))
    code[rivals[np.unique(target[rivals], return_index=True)[1]]] = HIT
    return code


def _nearest(own: _Boxes, ranked: _Boxes, extent: float) -> tuple[Floats, Ints]:
    """Highest IoU of each detection with an object of its image (0: none), and the first object with it."""
    order = np.argsort(own.image, kind="stable")
    first = np.searchsorted(own.image[order], ranked.image, "left")
    count = np.searchsorted(own.image[order], ranked.image, "right") - first
    start = np.cumsum(count) - count
    detection = np.repeat(np.arange(len(count)), count)
    candidate = order[first[detection] + np.arange(len(detection)) - start[detection]]
    overlap = _iou(ranked.corners[detection], own.corners[candidate], extent)
    best, target = np.zeros(len(count)), np.zeros(len(count), np.int64)
    if len(overlap):
        best[count > 0] = np.maximum.reduceat(overlap, start[count > 0])
    winners = np.flatnonzero(overlap == best[detection])
    which, position = np.unique(detection[winners], return_index=True)
    target[which] = candidate[winners[position]]
    return best, target


def _iou(a: Floats, b: Floats, extent: float) -> Floats:
    """IoU of N pairs of boxes, N x 4 corners each, in the kit's order of operations."""
    inner = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + extent
    intersection = np.where((inner > 0).all(axis=1), inner[:, 0] * inner[:, 1], 0.0)
    union = np.prod(a[:, 2:] - a[:, :2] + extent, axis=1) + np.prod(b[:, 2:] - b[:, :2] + extent, axis=1)
    return intersection / np.where(intersection > 0, union - intersection, 1.0)


def _curve(hits: Flags, positives: int) -> tuple[Floats, Floats]:
    """Recall and precision after each detection."""
    found = np.cumsum(hits)
    return found / positives, found / np.arange(1, len(hits) + 1)


def _eleven_points(recall: Floats, precision: Floats) -> float:
    """`VOCevaldet.m` of 2007: highest precision at recall >= k · 0.1, mean over k = 0 … 10."""
    return float(sum(np.max(precision[recall >= level * 0.1], initial=0.0) for level in range(11)) / 11)


def _area(recall: Floats, precision: Floats) -> float:
    """`VOCap.m` of 2010: area under the envelope that never rises with recall."""
    width = np.diff(recall, prepend=0.0)
    return float(np.sum(width * np.maximum.accumulate(precision[::-1])[::-1]))


_AVERAGES: Mapping[str, Callable[[Floats, Floats], float]] = {"voc07": _eleven_points, "voc12": _area}
_EXTENTS: Mapping[str, float] = {"inclusive": 1.0, "exclusive": 0.0}
