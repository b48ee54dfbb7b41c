"""Ground truth and detections from any two JSON files, checked whole before anything is scored.

Every fault is a UsageError of one line, such as `dt.json: detection 17: image_id 99 is not in gt.json`;
entries are counted from 0, as `jq '.[17]'` does.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.evaluation.fields import Entry, entries, read_json


def read_ground_truth(path: Path) -> dict[str, list[dict[str, Any]]]:
    """COCO's `images` (`id`), `annotations` and `categories` (`id`, `name`); unknown keys are left out.

    An annotation comes back with `id, image_id, category_id, bbox, area, iscrowd, difficult`: w·h where
    `area` is absent, 0 where a flag is. One without `id` gets the next number above all others; a repeated id
    is refused, since it comes from files joined carelessly and pycocotools would drop all but the last.

    Raises:
        UsageError: no such file, not JSON, not of this form; no image or no category.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: ground truth must be an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if key not in content:
            raise UsageError(f"{path}: has no {key}")
    images = [{"id": entry.integer("id")} for entry in entries(path, "image", content["images"])]
    categories = [_category(entry) for entry in entries(path, "category", content["categories"])]
    for kind, parts in (("image", images), ("category", categories)):
        if not parts:
            raise UsageError(f"{path}: lists no {kind}")
        _refuse_repeats(path, kind, (part["id"] for part in parts))
    known = _Ids(path, images, categories)
    annotations = [_annotation(entry, known) for entry in entries(path, "annotation", content["annotations"])]
    _refuse_repeats(path, "annotation", (a["id"] for a in annotations if a["id"] is not None))
    following = max((a["id"] for a in annotations if a["id"] is not None), default=0) + 1
    for annotation in annotations:
        if annotation["id"] is None:
            annotation["id"], following = following, following + 1
    return {"images": images, "annotations": annotations, "categories": categories}


def read_detections(path: Path, gt: Mapping[str, Any], gt_path: Path) -> list[dict[str, Any]]:
    """A COCO result list, in its order: `image_id`, `category_id`, `bbox`, `score`; other keys are left out.

    An empty list is a detector that found nothing. Scores may lie outside 0..1. `gt` is what
    `read_ground_truth` made of `gt_path`.

    Raises:
        UsageError: no such file, not JSON, not of this form, an image or category that `gt` lacks.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise UsageError(
            f"{path}: detections must be a list of objects with image_id, category_id, bbox and score"
            + (" (this looks like ground truth)" if isinstance(content, dict) and "annotations" in content else "")
        )
    known = _Ids(gt_path, gt["images"], gt["categories"])
    return [
        {**known.references(entry), "bbox": entry.box(), "score": entry.number("score")}
        for entry in entries(path, "detection", content)
    ]


class _Ids:
    """The image and category ids of a ground-truth file."""

    def __init__(
        self, path: Path, images: Iterable[Mapping[str, Any]], categories: Iterable[Mapping[str, Any]]
    ) -> None:
        self._path = path
        self._known = {
            "image_id": {image["id"] for image in images},
            "category_id": {category["id"] for category in categories},
        }

    def references(self, entry: Entry) -> dict[str, Any]:
        """`image_id` and `category_id` of an entry, both known."""
        found = {key: entry.integer(key) for key in self._known}
        for key, value in found.items():
            if value not in self._known[key]:
                entry.fail(f"{key} {value} is not in {self._path}")
        return found


def _category(entry: Entry) -> dict[str, Any]:
    name = entry.get("name")
    if not isinstance(name, str):
        entry.fail("name must be a string")
    return {"id": entry.integer("id", bits=32), "name": name}


def _annotation(entry: Entry, known: _Ids) -> dict[str, Any]:
    box = entry.box()
    area = entry.number("area") if "area" in entry.value else box[2] * box[3]
    if area < 0:
        entry.fail(f"area is negative ({area:g})")
    return {
        "id": entry.integer("id") if "id" in entry.value else None,
        **known.references(entry),
        "bbox": box,
        "area": area,
        "iscrowd": entry.flag("iscrowd"),
        "difficult": entry.flag("difficult"),
    }


def _refuse_repeats(path: Path, kind: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for number in ids:
        if number in seen:
            raise UsageError(f"{path}: two of kind {kind} have the id {number}")
        seen.add(number)
