"""Which detections are hits, misses or neither, found once: what any number of resamples is accumulated from.

For COCO these are the results of pycocotools' `COCOeval.evaluateImg`; for VOC those of `bench.evaluation.voc`.
A resample of images changes how often a detection counts, never what it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval

from bench.evaluation.coco import AREAS, evaluator
from bench.evaluation.scores import category_names, check_references
from bench.evaluation.voc import HIT, MISS, NEITHER, Pixels, match_categories

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


def match_coco(gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], *, area_scale: float = 1.0) -> Matches:
    """One matching pass; arguments and BenchError as `score_coco` has them."""
    check_references(gt, detections)
    evaluation = evaluator(gt, detections, area_scale)
    # `evaluate` without its list of all results, which for COCO val takes gigabytes.
    evaluation._prepare()
    place = {int(image): index for index, image in enumerate(sorted({i["id"] for i in gt["images"]}))}
    present: dict[int, list[int]] = {}
    for image, category in sorted({*evaluation._gts, *evaluation._dts}):
        present.setdefault(category, []).append(image)
    names = category_names(gt)
    cells = tuple(_coco_category(evaluation, key, present.get(key, []), place) for key in names)
    return Matches(len(place), tuple(names.values()), cells)


def match_voc(
    gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], *, iou: float = 0.5, pixels: Pixels = "inclusive"
) -> Matches:
    """One matching pass; arguments, UsageError and BenchError as `score_voc` has them.

    Equal scores rank in file order, as there: a resample stands for a file in which copies stand where the image did.
    """
    check_references(gt, detections)
    ids = np.array(sorted({i["id"] for i in gt["images"]}), np.int64)
    cells = []
    for found in match_categories(gt, detections, iou, pixels):
        image = np.searchsorted(ids, found.image).astype(np.int32)
        objects = np.bincount(np.searchsorted(ids, found.objects), minlength=len(ids)).astype(np.int32)
        code = found.code[np.newaxis]
        cells.append((Ranked(image, np.zeros_like(image), code, runs(image, found.score), objects),))
    return Matches(len(ids), tuple(category_names(gt).values()), tuple(cells))


def _coco_category(
    evaluation: COCOeval, category: int, images: list[int], place: Mapping[int, int]
) -> tuple[Ranked, ...]:
    evaluation.ious = {(image, category): evaluation.computeIoU(image, category) for image in images}
    most = evaluation.params.maxDets[-1]
    return tuple(
        _rank(((place[i], evaluation.evaluateImg(i, category, area, most)) for i in images), len(place))
        for area in evaluation.params.areaRng[: len(AREAS)]
    )


def _rank(results: Iterator[tuple[int, Mapping[str, Any]]], images: int) -> Ranked:
    """What `COCOeval.accumulate` sorts: images by id, then all detections by falling score, ties in that order."""
    objects = np.zeros(images, np.int32)
    image, rank, score = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(0)]
    code = [np.zeros((10, 0), np.int8)]
    for index, found in results:
        objects[index] = np.count_nonzero(np.asarray(found["gtIgnore"]) == 0)
        count = len(found["dtScores"])
        image.append(np.full(count, index, np.int32))
        rank.append(np.arange(count, dtype=np.int32))
        score.append(np.array(found["dtScores"], np.float64))
        codes = np.where(found["dtMatches"] != 0, HIT, MISS).astype(np.int8)
        codes[found["dtIgnore"]] = NEITHER
        code.append(codes)
    scores, codes = np.concatenate(score), np.concatenate(code, axis=1)
    order = np.argsort(-scores, kind="stable")
    # What counts at no threshold, such as a miss outside the area range, moves no number.
    order = order[codes[:, order].any(axis=0)]
    images_of = np.concatenate(image)[order]
    return Ranked(
        images_of,
        np.concatenate(rank)[order],
        np.ascontiguousarray(codes[:, order]),
        runs(images_of, scores[order]),
        objects,
    )


def runs(image: Ints, score: npt.NDArray[np.float64]) -> Ints:
    """Where each run of equal scores in one image begins, and N; `start` of a `Ranked`."""
    begins = np.ones(len(image) + 1, np.bool_)
    begins[1:-1] = (image[1:] != image[:-1]) | (score[1:] != score[:-1])
    return np.flatnonzero(begins).astype(np.int32)
