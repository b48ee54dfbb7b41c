"""Ground truth and detections from any two JSON files, checked whole before anything is scored.

Every fault is a UsageError of one line, such as `dt.json: detection 17: image_id 99 is not in gt.json`;
entries are counted from 0, as `jq '.[17]'` does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.coco_json import read_coco_json
from bench.data.dataset import Problem
from bench.data.entries import Entry, entries, read_json
from bench.errors import UsageError


class GroundTruth(NamedTuple):
    """What detections are scored against."""

    coco: dict[str, list[dict[str, Any]]]
    """COCO's `images`, `annotations` (with `difficult`, 0 where absent) and `categories`."""
    problems: tuple[Problem, ...]
    """What was left out of the file, and why."""


def read_ground_truth(path: Path) -> GroundTruth:
    """Any COCO file, by the rules of `bench.data.coco_json`; the images themselves need not be here.

    Raises:
        UsageError: no such file, not JSON, not of this form; no image or no category.
    """
    problems: list[Problem] = []
    images, annotations, categories = read_coco_json(path, problems, files=False)
    marked = [{"difficult": 0} | annotation for annotation in annotations]
    return GroundTruth({"images": images, "annotations": marked, "categories": categories}, tuple(problems))


def read_detections(path: Path, gt: Mapping[str, Any], gt_path: Path) -> list[dict[str, Any]]:
    """A COCO result list, in its order: `image_id`, `category_id`, `bbox`, `score`; other keys are left out.

    An empty list is a detector that found nothing. Scores may lie outside 0..1. `gt` is the ground truth that
    `gt_path` holds.

    Raises:
        UsageError: no such file, not JSON, not of this form, an image or category that `gt` lacks.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise UsageError(
            f"{path}: detections must be a list of objects with image_id, category_id, bbox and score"
            + (" (this looks like ground truth)" if isinstance(content, dict) and "annotations" in content else "")
        )
    images, categories = {image["id"] for image in gt["images"]}, {category["id"] for category in gt["categories"]}
    return [
        {
            "image_id": _known(entry, "image_id", images, gt_path),
            "category_id": _known(entry, "category_id", categories, gt_path),
            "bbox": entry.box(),
            "score": entry.number("score"),
        }
        for entry in entries(path, content, "detection")
    ]


def _known(entry: Entry, key: str, ids: set[int], gt_path: Path) -> int:
    """An id that the ground truth has: a wrong mapping of ids would look like a bad detector."""
    number = entry.integer(key)
    if number not in ids:
        entry.fail(f"{key} {number} is not in {gt_path}")
    return number
