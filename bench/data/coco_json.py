"""The one reader of COCO JSON (cocodataset.org/#format-data), instances and panoptic: of suites and of `score` alike.

Refused, with file and entry, is what cannot be understood: wrong types, numbers that are not finite, ids that repeat.
What is clear but useless is left out and reported: an annotation of an image or category that the file does not list.
A box without extent is reported and kept for scoring, where it is an object that is never found, as for pycocotools;
it is no target of training (`scored_only`). An id may be a whole float; an annotation without one, or with null, gets
the next number above all others; an area that is absent, null or negative is width times height. Segmentations are not
read.

In a panoptic file each segment becomes an object, things and stuff alike, with the segment's own box, area and
`iscrowd`; the masks are not read. So does DETR (facebookresearch/detr 70a59831, `datasets/coco_panoptic.py`). Ids of
segments are colours that repeat from image to image, so objects are numbered anew.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.dataset import Problem
from bench.data.entries import Entry, entries, read_json
from bench.errors import UsageError

Parts = list[dict[str, Any]]
SCORED_ONLY = "no target of training; in scoring an object that is hardly found"
"""What becomes of a box without extent, or outside of its image."""


class CocoContent(NamedTuple):
    """The fields that are used, entries in the order of the file."""

    images: Parts
    """`id`; `file_name`, where it is a name or was asked for; `width` and `height`, px, 0 where absent."""
    annotations: Parts
    """`id`, `image_id`, `category_id`, `bbox` [x, y, w, h] (px), `area`, `iscrowd`; also `difficult` and
    `train_ignore` where they stand in the file, as in one that was written from a Dataset, and `scored_only: 1`."""
    categories: Parts
    """`id` and `name`, and `supercategory` where it is a name; a name may repeat."""


def read_coco_json(path: Path, problems: list[Problem], *, files: bool) -> CocoContent:
    """Read and check a whole file; what is left out is added to `problems`.

    `files` refuses an image without a file name. Raises UsageError for a file that is absent or wrong, that lists no
    image or no category.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: ground truth must be an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if key not in content:
            raise UsageError(f"{path}: has no {key}")
    images = [_image(entry, files) for entry in entries(path, content["images"], "image")]
    categories = [_category(entry) for entry in entries(path, content["categories"], "category", "categories")]
    for plural, kind, parts in (("images", "image", images), ("categories", "category", categories)):
        if not parts:
            raise UsageError(f"{path}: lists no {kind}")
        _refuse_repeats(path, plural, (part["id"] for part in parts))
    annotations = _annotations(path, content["annotations"], problems)
    known = {part["id"] for part in images}, {part["id"] for part in categories}
    kept = [one for one in annotations if _is_usable(one, *known, path, problems)]
    return CocoContent(images, kept, categories)


def _image(entry: Entry, files: bool) -> dict[str, Any]:
    name = entry.value.get("file_name")
    named = {"file_name": entry.text("file_name")} if files or (isinstance(name, str) and name) else {}
    return {"id": entry.integer("id"), **named, "width": entry.pixels("width"), "height": entry.pixels("height")}


def _category(entry: Entry) -> dict[str, Any]:
    above = entry.value.get("supercategory")
    # 32 bits: those of a category in stored predictions.
    named = {"id": entry.integer("id", bits=32), "name": entry.text("name")}
    return named | ({"supercategory": above} if isinstance(above, str) else {})


def _objects(path: Path, value: Any) -> Iterator[Entry]:
    """The annotations; of a panoptic file their segments, without ids."""
    annotations = entries(path, value, "annotation")
    if not value or not isinstance(value[0], dict) or "segments_info" not in value[0]:
        yield from annotations
        return
    for annotation in annotations:
        image = annotation.integer("image_id")
        of_image = f"annotation {annotation.index}, segment"
        for segment in entries(path, annotation.get("segments_info"), of_image):
            fields = {key: field for key, field in segment.value.items() if key != "id"}
            yield Entry(path, of_image, segment.index, fields | {"image_id": image})


def _annotations(path: Path, value: Any, problems: list[Problem]) -> Parts:
    found: Parts = []
    without: Parts = []
    for entry in _objects(path, value):
        raw = entry.value
        box = entry.corner_and_size()
        annotation: dict[str, Any] = {
            "id": None if raw.get("id") is None else entry.integer("id"),
            "image_id": entry.integer("image_id"),
            "category_id": entry.integer("category_id"),
            "bbox": box,
            "area": box[2] * box[3] if raw.get("area") is None else entry.number("area"),
            "iscrowd": entry.flag("iscrowd"),
        }
        if "difficult" in raw:
            annotation["difficult"] = entry.flag("difficult")
        if "train_ignore" in raw:
            annotation["train_ignore"] = entry.flag("train_ignore")
        if raw.get("ignore"):
            which = len(found) if annotation["id"] is None else annotation["id"]
            detail = "its `ignore` is not read; `iscrowd` takes a box out of training and scoring"
            problems.append(Problem("ignore-flag", f"{path.name} annotation {which}", detail))
        found.append(annotation)
        if annotation["id"] is None:
            without.append(annotation)
    ids = [annotation["id"] for annotation in found if annotation["id"] is not None]
    _refuse_repeats(path, "annotations", ids)
    for number, annotation in enumerate(without, start=max(ids, default=0) + 1):
        annotation["id"] = number
    return found


def _is_usable(
    annotation: dict[str, Any], images: set[int], categories: set[int], path: Path, problems: list[Problem]
) -> bool:
    """Whether an annotation can be an object; reports why not, and mends an area that is none."""
    _, _, width, height = annotation["bbox"]
    if annotation["image_id"] not in images:
        what = ("unknown-image", f"no image has id {annotation['image_id']}: dropped")
    elif annotation["category_id"] not in categories:
        what = ("unknown-category", f"no category has id {annotation['category_id']}: dropped")
    elif width <= 0 or height <= 0:
        what = ("degenerate-box", f"{annotation['bbox']}: no extent: {SCORED_ONLY}")
        annotation["scored_only"] = 1
    elif annotation["area"] < 0:
        what = ("broken-area", f"{annotation['area']}: width times height is taken")
        annotation["area"] = width * height
    else:
        return True
    problems.append(Problem(what[0], f"{path.name} annotation {annotation['id']}", what[1]))
    return what[0] in ("broken-area", "degenerate-box")


def _refuse_repeats(path: Path, plural: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for number in ids:
        if number in seen:
            raise UsageError(f"{path}: two {plural} have the id {number}")
        seen.add(number)
