"""Ground truth and detections from any two JSON files, checked whole before anything is scored.

The one reader of predictions: `score`, `compare` and `submit` take and refuse the same. Every fault is a UsageError of
one line, such as `dt.json: detection 17: image_id 99 is not in gt.json`; entries are counted from 0, as `jq '.[17]'`
does. A COCO result list is checked as arrays; a file that fails such a check, or spells its entries otherwise, is read
entry by entry (`bench.evaluation.spelling`), which is ten times as slow and knows what is wrong.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.data.coco_json import read_coco_json
from bench.data.dataset import Problem
from bench.data.entries import LARGEST_PX, parse_json, read_bytes
from bench.errors import UsageError
from bench.evaluation.boxes import Detections, ids
from bench.evaluation.doubts import doubts
from bench.evaluation.spelling import NAMES, Dialect, Known, read_entries

ASKED = "detections must be a list of objects with image_id or file_name, category_id or category_name, bbox and score"


class GroundTruth(NamedTuple):
    """What detections are scored against."""

    coco: dict[str, list[dict[str, Any]]]
    """COCO's `images`, `annotations` (with `difficult`, 0 where absent) and `categories`."""
    problems: tuple[Problem, ...]
    """What was left out of the file, and why."""


class Predicted(NamedTuple):
    """What a file of predictions holds."""

    detections: Detections
    """In the order of the file."""
    problems: tuple[Problem, ...]
    """What was left out because the ground truth does not have it, and what is probably a mistake, with counts."""


def read_ground_truth(path: Path) -> GroundTruth:
    """Any COCO file, by the rules of `bench.data.coco_json`; the images themselves need not be here.

    Raises:
        UsageError: no such file, not JSON, not of this form; no image or no category.
    """
    problems: list[Problem] = []
    images, annotations, categories = read_coco_json(path, problems, files=False)
    marked = [{"difficult": 0} | annotation for annotation in annotations]
    return GroundTruth({"images": images, "annotations": marked, "categories": categories}, tuple(problems))


def read_detections(path: Path, known: Known, dialect: Dialect = Dialect()) -> Predicted:  # noqa: B008
    """The predictions in a file, on the ids of the ground truth.

    An empty list is a detector that found nothing. Scores may lie outside 0..1.

    Raises:
        UsageError: no such file, not JSON, not of a known form, an image or category that the ground truth lacks.
    """
    return parse_detections(path, read_bytes(path), known, dialect)


def parse_detections(path: Path, data: bytes, known: Known, dialect: Dialect) -> Predicted:
    """As `read_detections`, of bytes that were read from `path`."""
    content = parse_json(path, data)
    if not isinstance(content, list):
        looks = " (this looks like ground truth)" if isinstance(content, dict) and "annotations" in content else ""
        raise UsageError(f"{path}: {ASKED}{looks}")
    arrays = _as_arrays(content, known.gt, dialect)
    found, problems = (arrays, ()) if arrays is not None else read_entries(path, content, known, dialect)
    return Predicted(found, (*problems, *doubts(path, found, known.gt, dialect)))


def _as_arrays(content: list[Any], gt: Mapping[str, Any], dialect: Dialect) -> Detections | None:
    """A COCO result list in which each number is what it should be; None for any other."""
    if set(map(type, content)) != {dict} or not NAMES.isdisjoint(chain.from_iterable(content)):
        return None
    try:
        images, categories, boxes, scores = (
            [one[key] for one in content] for key in ("image_id", "category_id", "bbox", "score")
        )
    except KeyError:
        return None
    if set(map(type, boxes)) != {list} or set(map(len, boxes)) != {4}:
        return None
    numbers = list(chain.from_iterable(boxes))
    whole, real = set(map(type, images)) | set(map(type, categories)), set(map(type, numbers)) | set(map(type, scores))
    if whole != {int} or not real <= {int, float}:
        return None
    try:
        found = Detections(
            np.array(images, np.int64),
            np.array(categories, np.int64),
            dialect.sides(np.array(numbers, np.float64).reshape(-1, 4)),
            np.array(scores, np.float64),
        )
    except OverflowError:
        return None
    sound = (
        (np.abs(found.box) <= LARGEST_PX).all()  # False for NaN as well
        and (found.box[:, 2:] >= 0).all()
        and np.isfinite(found.score).all()
        and np.isin(found.image, ids(gt, "images")).all()
        and np.isin(found.category, ids(gt, "categories")).all()
    )
    return found if sound else None
