"""The matching of pycocotools' `COCOeval.evaluateImg` and its IoU (`bbIou` of `maskApi.c`), compiled by numba.

Equal to both on every image, to the order of floating-point operations. pycocotools itself takes a minute for what is
half a second here, and hotcoco's results of single images take gigabytes.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
import numpy.typing as npt

from bench.evaluation.boxes import Detections, Objects
from bench.evaluation.voc import HIT, MISS, NEITHER

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU, COCO's own."""
MOST = 100
"""Detections of an image and category that are matched, by falling score."""


def match_category(
    objects: Objects, found: Detections, images: int, areas: npt.NDArray[np.float64]
) -> npt.NDArray[np.int8]:
    """A x T x N: HIT, MISS or NEITHER of N detections of one category.

    Both are sorted by image, which are places from 0 to `images`; the detections of an image by falling score, at most
    `MOST` of them. `areas` is A x 2, lowest and highest px².
    """
    code = np.empty((len(areas), len(THRESHOLDS), len(found)), np.int8)
    borders = np.arange(images + 1)
    _match(
        found.box,
        objects.box,
        objects.area,
        objects.crowd,
        np.searchsorted(found.image, borders),
        np.searchsorted(objects.image, borders),
        areas,
        np.minimum(THRESHOLDS, 1 - 1e-10),
        code,
    )
    return code


def _match_images(
    box: Any, truth: Any, area: Any, crowd: Any, of_found: Any, of_objects: Any, areas: Any, thresholds: Any, code: Any
) -> None:
    """Fill `code`, image by image; the detections of image i are those from of_found[i] to of_found[i + 1]."""
    for image in range(len(of_found) - 1):
        first, last = of_found[image], of_found[image + 1]
        objects = of_objects[image + 1] - of_objects[image]
        if first == last:
            continue
        iou = np.empty((last - first, objects))
        for d in range(first, last):
            for g in range(objects):
                iou[d - first, g] = _iou(box[d], truth[of_objects[image] + g], crowd[of_objects[image] + g])
        order = np.empty(objects, np.int64)
        ignored = np.empty(objects, np.bool_)
        taken = np.empty(objects, np.bool_)
        for a in range(len(areas)):
            low, high = areas[a, 0], areas[a, 1]
            for g in range(objects):
                at = of_objects[image] + g
                ignored[g] = crowd[at] or area[at] < low or area[at] > high
            # Ignored objects come last.
            place = 0
            for last_ones in (False, True):
                for g in range(objects):
                    if ignored[g] == last_ones:
                        order[place] = g
                        place += 1
            for t in range(len(thresholds)):
                taken[:] = False
                for d in range(first, last):
                    best, match = thresholds[t], -1
                    for g in order:
                        if taken[g] and not crowd[of_objects[image] + g]:
                            continue
                        # One that counts is not given up for one that is ignored.
                        if match > -1 and not ignored[match] and ignored[g]:
                            break
                        # Not `>=`: IoU is not a number where both areas are 0, and COCOeval takes that for a match.
                        if iou[d - first, g] < best:
                            continue
                        best, match = iou[d - first, g], g
                    if match > -1:
                        taken[match] = True
                        code[a, t, d] = NEITHER if ignored[match] else HIT
                    else:
                        size = box[d, 2] * box[d, 3]
                        code[a, t, d] = NEITHER if size < low or size > high else MISS


def _overlap(a: Any, b: Any, crowd: bool) -> Any:
    """IoU of two boxes x, y, w, h; of a crowd the share of `a` that lies within it."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    if width <= 0:
        return 0.0
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if height <= 0:
        return 0.0
    shared = width * height
    size = a[2] * a[3]
    return shared / (size if crowd else size + b[2] * b[3] - shared)


# error_model: 0/0 is not a number, as in C, and no exception.
_iou = cast(Callable[..., Any], numba.njit(cache=True, error_model="numpy")(_overlap))
_match = cast(Callable[..., None], numba.njit(cache=True, nogil=True, error_model="numpy")(_match_images))
