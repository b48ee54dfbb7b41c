"""Any COCO JSON (instances format of cocodataset.org/#format-data) and the folder of its images.

Genuine COCO must score as everywhere else, so a box that stands out of its image is left as it is, and
reported beyond a pixel; segmentations are not read. Image and category ids stay: predictions refer to them.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.data.coco_entries import Entries
from bench.data.dataset import Dataset, Problem
from bench.data.images import probe
from bench.data.paths import Listing, expand
from bench.errors import BenchError, UsageError
from bench.schema.data import CocoData, CocoSplit, Split

PROBE_LIMIT = 5000
"""Up to this number of images (that of val2017) each header is probed, about a second in all. Of more, such
as the 118,287 of train2017, the declared sizes are trusted unless `verify` is asked for: they are then wrong
where a photo has an EXIF rotation that whoever declared them did not apply."""

ById = dict[int, dict[str, Any]]

_OUTSIDE = 1.0
"""px that a box may stand out of its image unreported: polygons are drawn that exactly."""
_HUGE = 1e9
"""A coordinate beyond this is treated as infinite: its area would be."""


def read_coco(spec: CocoData, split: Split, folder: Path, *, verify: bool = False) -> Dataset:
    """Read one split below `folder` (`spec.path`, expanded).

    An absent or unreadable image is left out with its annotations; a box without extent or outside its image,
    and an annotation of an unknown image or category, are dropped; each is reported. A real size that
    differs from the declared one wins. `area` defaults to w*h, `iscrowd` to 0. `classes` selects categories,
    in order; images without any of them stay, as background.
    Raises UsageError, naming file and entry, for wrong types, duplicate ids or names, a class that the file
    lacks, or a `file_name` that leaves the folder; BenchError for an absent or broken file, or no image.
    """
    part: CocoSplit | None = getattr(spec, split)
    if part is None:
        raise UsageError(f"data {spec.path}: no {split} split is declared; add its annotations and images")
    file, images_root = expand(part.annotations, folder), expand(part.images, folder)
    entries = Entries(file, _load(file))
    problems: list[Problem] = []
    categories = _categories(entries, spec.classes)
    every = _unique(file, "images", entries.images())
    images = _present(every.values(), images_root, problems, verify=verify or len(every) <= PROBE_LIMIT)
    if not images:
        first = f"; first problem: {' '.join(problems[0])}" if problems else ": it lists none"
        raise BenchError(f"{file}: no image can be used{first}")
    annotations = _annotations(entries, every, images, {c["id"] for c in categories}, problems)
    _mend_zero_id(annotations, problems)
    coco = {"images": list(images.values()), "annotations": annotations, "categories": categories}
    return Dataset(f"{file.stem}/{split}", images_root, coco, tuple(problems))


def _annotations(
    entries: Entries, every: ById, images: ById, wanted: set[int], problems: list[Problem]
) -> list[dict[str, Any]]:
    """The annotations of wanted categories in the images that exist, of `every` that is listed."""
    annotations = []
    declared = {category["id"] for category in entries.categories()}
    for entry in _unique(entries.file, "annotations", entries.annotations()).values():
        where = f"{entries.file.name} annotation {entry['id']}"
        if entry["image_id"] not in every:
            problems.append(Problem("unknown-image", where, f"no image has id {entry['image_id']}: dropped"))
        elif entry["category_id"] not in declared:
            detail = f"no category has id {entry['category_id']}: dropped"
            problems.append(Problem("unknown-category", where, detail))
        elif (
            entry["image_id"] in images
            and entry["category_id"] in wanted
            and _fits(entry["bbox"], images[entry["image_id"]], where, problems)
        ):
            annotations.append(_with_area(entry, where, problems))
    return annotations


def _load(file: Path) -> Any:
    try:
        with file.open(encoding="utf-8-sig") as stream:
            return json.load(stream)
    except FileNotFoundError:
        raise BenchError(f"{file}: no such file; put the annotations there or mend the suite") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BenchError(f"{file}: cannot be read as JSON: {error}") from None


def _unique(file: Path, section: str, entries: Iterable[dict[str, Any]]) -> ById:
    """The entries by id; UsageError for an id that stands twice."""
    found: ById = {}
    for entry in entries:
        if found.setdefault(entry["id"], entry) is not entry:
            raise UsageError(f"{file}: {section}: id {entry['id']} stands twice; ids must be unique")
    return found


def _categories(entries: Entries, classes: tuple[str, ...] | None) -> list[dict[str, Any]]:
    file = entries.file
    by_id = _unique(file, "categories", entries.categories())
    if not by_id:
        raise UsageError(f"{file}: categories: the list is empty; name at least one")
    by_name = {category["name"]: category for category in by_id.values()}
    if len(by_name) < len(by_id):
        raise UsageError(f"{file}: categories: a name stands twice; names must be unique")
    if classes is None:
        return [by_id[id_] for id_ in sorted(by_id)]
    if lacking := [name for name in classes if name not in by_name]:
        raise UsageError(f"{file}: no category {lacking[0]!r}; there are: {', '.join(sorted(by_name))}")
    if len(set(classes)) < len(classes):
        raise UsageError(f"{file}: a name stands twice in the suite's classes: {', '.join(classes)}")
    return [by_name[name] for name in classes]


def _present(every: Iterable[dict[str, Any]], root: Path, problems: list[Problem], *, verify: bool) -> ById:
    """The images that exist, by id, with their real size where it is to be verified or was not declared."""
    listing = Listing(root)
    present = {}
    for image in every:
        name = image["file_name"]
        if not listing.has(name):
            problems.append(Problem("absent-image", name, "left out with its annotations"))
            continue
        if verify or not image["width"] or not image["height"]:
            try:
                facts = probe(root / name)
            except BenchError as error:
                problems.append(Problem("unreadable-image", name, f"{error}: left out with its annotations"))
                continue
            size = {"width": facts.width, "height": facts.height}
            declared = {"width": image["width"], "height": image["height"]}
            if size != declared and all(declared.values()):
                detail = f"{image['width']}x{image['height']} declared, it has {facts.width}x{facts.height}"
                problems.append(Problem("size-mismatch", name, detail))
            image |= size
        present[image["id"]] = image
    return present


def _fits(bbox: list[float], image: dict[str, Any], where: str, problems: list[Problem]) -> bool:
    """Whether a box can be an object of its image; reports where it is not, or not quite."""
    x, y, width, height = bbox
    size = f"{image['width']}x{image['height']}"
    reason = None
    if not all(abs(number) < _HUGE for number in bbox):
        reason = "not finite"
    elif width <= 0 or height <= 0:
        reason = "no extent"
    elif x >= image["width"] or y >= image["height"] or x + width <= 0 or y + height <= 0:
        reason = f"outside of {size}"
    elif max(-x, -y, x + width - image["width"], y + height - image["height"]) > _OUTSIDE:
        problems.append(Problem("outside-box", where, f"{bbox}: stands out of {size}, kept as it is"))
    if reason is not None:
        problems.append(Problem("degenerate-box", where, f"{bbox}: {reason}, dropped"))
    return reason is None


def _with_area(entry: dict[str, Any], where: str, problems: list[Problem]) -> dict[str, Any]:
    """Fill in an absent area; replace one that is no area, and report it."""
    area = entry["area"]
    if area is not None and not 0 <= area < math.inf:
        problems.append(Problem("broken-area", where, f"{area}: width times height is taken"))
        area = None
    _, _, width, height = entry["bbox"]
    return entry | {"area": width * height if area is None else area}


def _mend_zero_id(annotations: list[dict[str, Any]], problems: list[Problem]) -> None:
    """Give an annotation with id 0 another: pycocotools reads a match with id 0 as no match, and loses it."""
    for annotation in annotations:
        if annotation["id"] == 0:
            annotation["id"] = max(1, 1 + max(a["id"] for a in annotations))
            problems.append(Problem("zero-id", "annotation 0", f"now {annotation['id']}"))
