"""Which detections are hits, misses or neither, found once: what any number of resamples is accumulated from.

For COCO these are the results of pycocotools' `COCOeval.evaluateImg` on every image, computed in one pass of
`bench.evaluation.coco_match`; for VOC those of `bench.evaluation.voc`. A resample of images changes how often a
detection counts, never what it is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.evaluation.boxes import AnyDetections, Detections, Objects, check_references
from bench.evaluation.coco import area_ranges, scene_of
from bench.evaluation.coco_match import MOST, match_category
from bench.evaluation.scores import category_names
from bench.evaluation.voc import Pixels, match_categories

Int8s = npt.NDArray[np.int8]
Ints = npt.NDArray[np.int32]


class Ranked(NamedTuple):
    """N detections of one category in one area range, by falling score, at T IoU thresholds."""

    image: Ints
    """N: place of the image among all, by ascending id."""
    rank: Ints
    """N: place among the detections of its image and category, from 0."""
    code: Int8s
    """T x N: NEITHER, HIT or MISS."""
    start: Ints
    """G + 1: where each run of equal scores in one image begins; copies of an image repeat a run as a whole."""
    objects: Ints
    """I: objects of each image that count."""


class Matches(NamedTuple):
    """One file of detections against one ground truth."""

    images: int
    categories: tuple[str, ...]
    """Names, by ascending id."""
    cells: tuple[tuple[Ranked, ...], ...]
    """By category, then by area range (COCO: all, small, medium, large; VOC: all)."""


def match_coco(gt: Mapping[str, Any], detections: AnyDetections, *, area_scale: float = 1.0) -> Matches:
    """One matching pass; arguments and BenchError as `score_coco` has them."""
    scene = scene_of(gt, Detections.of(detections))
    objects, found = scene.objects, scene.found
    areas = np.array(area_ranges(area_scale))
    # By category, then by image: what belongs together lies together. Both sorts keep the order of the files.
    by_object = np.lexsort((objects.image, objects.category))
    by_detection = np.lexsort((-found.score, found.image, found.category))
    borders = np.arange(scene.categories + 1)
    of_objects = np.searchsorted(objects.category[by_object], borders)
    of_found = np.searchsorted(found.category[by_detection], borders)
    cells = tuple(
        _category(
            objects.take(by_object[of_objects[k] : of_objects[k + 1]]),
            found.take(by_detection[of_found[k] : of_found[k + 1]]),
            scene.images,
            areas,
        )
        for k in range(scene.categories)
    )
    return Matches(scene.images, tuple(category_names(gt).values()), cells)


def match_voc(
    gt: Mapping[str, Any], detections: AnyDetections, *, iou: float = 0.5, pixels: Pixels = "inclusive"
) -> Matches:
    """One matching pass; arguments, UsageError and BenchError as `score_voc` has them.

    Equal scores rank in file order, as there: a resample stands for a file in which copies stand where the image did.
    """
    every = Detections.of(detections)
    check_references(gt, every)
    ids = np.array(sorted({i["id"] for i in gt["images"]}), np.int64)
    cells = []
    for found in match_categories(gt, every, iou, pixels):
        image = np.searchsorted(ids, found.image).astype(np.int32)
        objects = np.bincount(np.searchsorted(ids, found.objects), minlength=len(ids)).astype(np.int32)
        code = found.code[np.newaxis]
        cells.append((Ranked(image, np.zeros_like(image), code, runs(image, found.score), objects),))
    return Matches(len(ids), tuple(category_names(gt).values()), tuple(cells))


def _category(objects: Objects, found: Detections, images: int, areas: npt.NDArray[np.float64]) -> tuple[Ranked, ...]:
    """Of one category, both sorted by image, detections then by falling score."""
    first = np.searchsorted(found.image, found.image, "left")
    rank = (np.arange(len(found)) - first).astype(np.int32)
    kept = rank < MOST
    found, rank = found.take(kept), rank[kept]
    code = match_category(objects, found, images, areas)
    # What `COCOeval.accumulate` sorts: images by id, then all detections by falling score, ties in that order.
    order = np.argsort(-found.score, kind="stable")
    image, rank, score = found.image[order].astype(np.int32), rank[order], found.score[order]
    cells = []
    for (low, high), codes in zip(areas, code[:, :, order], strict=True):
        # What counts at no threshold, such as a miss outside the area range, moves no number.
        seen = codes.any(axis=0)
        counted = ~objects.crowd & (objects.area >= low) & (objects.area <= high)
        cells.append(
            Ranked(
                image[seen],
                rank[seen],
                np.ascontiguousarray(codes[:, seen]),
                runs(image[seen], score[seen]),
                np.bincount(objects.image[counted], minlength=images).astype(np.int32),
            )
        )
    return tuple(cells)


def runs(image: Ints, score: npt.NDArray[np.float64]) -> Ints:
    """Where each run of equal scores in one image begins, and N; `start` of a `Ranked`."""
    begins = np.ones(len(image) + 1, np.bool_)
    begins[1:-1] = (image[1:] != image[:-1]) | (score[1:] != score[:-1])
    return np.flatnonzero(begins).astype(np.int32)
