"""Which images to look at: by id or name, at random, or where one set of detections does worst against another."""

import random
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.evaluation.boxes import Detections, Objects
from bench.evaluation.harmony import iou_matrix

SHOWN_SCORE = 0.3
"""Detections below it are not drawn on images, and count for nothing here."""
MOST_IMAGES = 8
SHOWN = 6
"""Detections of an image that are drawn."""


def choose(text: str, gt: Mapping[str, Any], detections: Sequence[Detections]) -> list[int]:
    """Ids of images, at most `MOST_IMAGES`, from `3,17`, `a.jpg,b.jpg`, `random:4` (always the same) or `worst:4`.

    UsageError for unknown images, a number that does not fit, or `worst` without two records.
    """
    word, colon, number = text.partition(":")
    if colon and word in ("random", "worst"):
        return _some(word, number, gt, detections)
    known = {image["id"]: image["id"] for image in gt["images"]}
    names = {PurePath(str(image["file_name"])).name: image["id"] for image in gt["images"] if "file_name" in image}
    parts, chosen = text.split(","), []
    if len(parts) > MOST_IMAGES:
        raise UsageError(f"--images: {len(parts)} images; at most {MOST_IMAGES} fit a picture")
    for part in parts:
        found = known.get(int(part)) if part.strip().isdecimal() else names.get(part.strip())
        if found is None:
            ids = ", ".join(map(str, [*known][:5]))
            raise UsageError(
                f"--images {part}: the test split has no such image, its ids begin {ids}; ids, names, random:N or "
                "worst:N are wanted"
            )
        chosen.append(found)
    return chosen


def _some(word: str, number: str, gt: Mapping[str, Any], detections: Sequence[Detections]) -> list[int]:
    ids = sorted(image["id"] for image in gt["images"])
    if not number.isdecimal() or not 1 <= int(number) <= MOST_IMAGES:
        raise UsageError(f"--images {word}:{number}: a number from 1 to {MOST_IMAGES} is wanted")
    if word == "random":
        return random.Random(0).sample(ids, min(int(number), len(ids)))
    if len(detections) < 2:
        raise UsageError("--images worst: two records are wanted, the second of which is compared with the first")
    first, last = coverage(gt, detections[0]), coverage(gt, detections[-1])
    return sorted(first, key=lambda image: (last[image] - first[image], image))[: int(number)]


def coverage(gt: Mapping[str, Any], detections: Detections) -> dict[int, float]:
    """By image that has boxes: the mean over its boxes of the best IoU of a detection of the box's category, 0 to 1.

    Detections of a score below `SHOWN_SCORE` and crowd boxes do not count.
    """
    objects, found = Objects.of(gt), detections.take(detections.score >= SHOWN_SCORE)
    objects = objects.take(~objects.crowd)
    covered: dict[int, list[float]] = {}
    for image, category, box in zip(objects.image, objects.category, objects.box, strict=True):
        of_it = found.box[(found.image == image) & (found.category == category)]
        best = float(iou_matrix(box[None], of_it).max()) if len(of_it) else 0.0
        covered.setdefault(int(image), []).append(best)
    return {image: float(np.mean(values)) for image, values in covered.items()}


def best(detections: Detections, image: int) -> list[Mapping[str, Any]]:
    """The detections that are drawn on an image, as COCO results; the best one last, so on top."""
    found = detections.take((detections.image == image) & (detections.score >= SHOWN_SCORE))
    found = found.take(np.argsort(found.score, kind="stable")[-SHOWN:])
    rows = zip(found.category.tolist(), found.box.tolist(), found.score.tolist(), strict=True)
    return [{"category_id": category, "bbox": box, "score": score} for category, box, score in rows]
