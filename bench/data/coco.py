"""Any COCO JSON (instances format of cocodataset.org/#format-data) and the folder of its images.

Genuine COCO must score as everywhere else, so a box that stands out of its image is left as it is, and
reported beyond a pixel; segmentations are not read. Image and category ids stay: predictions refer to them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.coco_classes import categories_of
from bench.data.coco_json import SCORED_ONLY, Parts, read_coco_json
from bench.data.dataset import Dataset, Problem
from bench.data.images import probe, size_mismatch
from bench.data.paths import Listing, expand, stays_inside
from bench.errors import BenchError, UsageError
from bench.schema.data import CocoData, CocoSplit, FromTrain, Split

PROBE_LIMIT = 5000
"""Up to this number of images (that of val2017) each header is probed, about a second in all. Of more, such
as the 118,287 of train2017, the declared sizes are trusted unless `verify` is asked for: they are then wrong
where a photo has an EXIF rotation that whoever declared them did not apply."""

_OUTSIDE = 1.0
"""px that a box may stand out of its image unreported: polygons are drawn that exactly."""


def read_coco(spec: CocoData, split: Split, folder: Path, *, verify: bool = False) -> Dataset:
    """Read one split below `folder` (`spec.path`, expanded).

    The file is read by the rules of `bench.data.coco_json`. Beyond them an absent or unreadable image is left out with
    its annotations, and a box outside of its image is `scored_only`; each is reported. A real size that
    differs from the declared one wins. `classes` selects categories, in order; images without any of them stay, as
    background. Categories of the splits are paired by name (`bench.data.coco_classes`).
    Raises UsageError, naming file and entry, for what the reader refuses, a category name that repeats, a class that
    the file lacks, or a `file_name` that leaves the folder; BenchError for an absent file, or no image.
    """
    aside = spec.tune_from_train
    part: CocoSplit | None = spec.train if split == "tune" and aside is not None else getattr(spec, split)
    if part is None:
        raise UsageError(f"data {spec.path}: no {split} split is declared; add its annotations and images")
    file, images_root = expand(part.annotations, folder), expand(part.images, folder)
    if not file.exists():
        raise BenchError(f"{file}: no such file; put the annotations there or mend the suite")
    problems: list[Problem] = []
    left_out: list[Problem] = []
    content = read_coco_json(file, left_out, files=True)
    _refuse_outside(file, content.images)
    if aside is not None and split != "test":
        content = content._replace(images=_held_out(file, content.images, aside, split))
    verify = verify or len(content.images) <= PROBE_LIMIT
    images = _present(content.images, images_root, problems, verify=verify)
    if not images:
        raise BenchError(f"{file}: no image can be used; first problem: {problems[0].kind} {problems[0].text}")
    categories = categories_of(spec, split, file, folder, content, left_out)
    problems += left_out
    wanted = {category["id"] for category in categories}
    annotations = [
        annotation
        for annotation in content.annotations
        if annotation["image_id"] in images and annotation["category_id"] in wanted
    ]
    for annotation in annotations:
        _check_place(annotation, images[annotation["image_id"]], file, problems)
    _mend_zero_id(annotations, problems)
    coco = {"images": list(images.values()), "annotations": annotations, "categories": categories}
    return Dataset(
        f"{file.stem}/{split}", images_root, coco, tuple(problems), _left_out(content.images, images, problems)
    )


def _left_out(every: Parts, present: Mapping[int, Any], problems: list[Problem]) -> dict[int, tuple[str, str]]:
    """By id name and fault of the images that cannot be used: predictions may still name them."""
    absent = {where for kind, where, _ in problems if kind == "absent-image"}
    return {
        image["id"]: (image["file_name"], "absent on disk" if image["file_name"] in absent else "unreadable")
        for image in every
        if image["id"] not in present
    }


def _held_out(file: Path, images: Parts, aside: FromTrain, split: Split) -> Parts:
    """The training images that are set aside for `tune`, or the others, in the order of the file."""
    if aside.images >= len(images):
        left = f"{aside.images} of {len(images)} training images set aside for tune leave none to train on"
        raise UsageError(f"{file}: {left}; lower `images` of `tune_from_train`")
    ranked = sorted(images, key=lambda image: hashlib.sha256(f"{aside.seed} {image['id']}".encode()).digest())
    chosen = {image["id"] for image in ranked[: aside.images]}
    return [image for image in images if (image["id"] in chosen) == (split == "tune")]


def _refuse_outside(file: Path, images: Parts) -> None:
    for index, image in enumerate(images):
        if not stays_inside(image["file_name"]):
            raise UsageError(f"{file}: image {index}: file_name {image['file_name']!r} leaves the folder of the images")


def _present(every: Parts, root: Path, problems: list[Problem], *, verify: bool) -> dict[int, dict[str, Any]]:
    """The images that exist, by id, with their real size where it is to be verified or was not declared."""
    listing = Listing(root)
    present = {}
    for image in every:
        name = image["file_name"]
        if not listing.has(name):
            near = listing.near(name)
            detail = f"absent{f', but there is {near}' if near else ''}: left out with its annotations"
            problems.append(Problem("absent-image", name, detail))
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
                problems.append(size_mismatch(name, f"{image['width']}x{image['height']}", facts))
            image |= size
        present[image["id"]] = image
    return present


def _check_place(annotation: dict[str, Any], image: dict[str, Any], file: Path, problems: list[Problem]) -> None:
    """Report a box that lies outside of its image, which is then no target, or that stands out of it."""
    x, y, width, height = bbox = annotation["bbox"]
    size = f"{image['width']}x{image['height']}"
    where = f"{file.name} annotation {annotation['id']}"
    if annotation.get("scored_only"):
        return  # without extent: the reader has said so
    if x >= image["width"] or y >= image["height"] or x + width <= 0 or y + height <= 0:
        annotation["scored_only"] = 1
        problems.append(Problem("degenerate-box", where, f"{bbox}: outside of {size}: {SCORED_ONLY}"))
    elif max(-x, -y, x + width - image["width"], y + height - image["height"]) > _OUTSIDE:
        problems.append(Problem("outside-box", where, f"{bbox}: stands out of {size}, kept as it is"))


def _mend_zero_id(annotations: list[dict[str, Any]], problems: list[Problem]) -> None:
    """Give an annotation with id 0 another: pycocotools reads a match with id 0 as no match, and loses it."""
    for annotation in annotations:
        if annotation["id"] == 0:
            annotation["id"] = max(1, 1 + max(a["id"] for a in annotations))
            problems.append(Problem("zero-id", "annotation 0", f"now {annotation['id']}"))
