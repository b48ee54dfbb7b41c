"""Predictions as other tools write them, entry by entry, brought onto the ids of a ground truth.

| written by | image | class | box | score |
|---|---|---|---|---|
| pycocotools, detectron2, mmdetection (`results.bbox.json`), RF-DETR | `image_id` | `category_id` | `bbox` | `score` |
| Ultralytics (`predictions.json`) | `image_id`, a number or the stem; `file_name` | `category_id` | `bbox` | `score` |
| Hugging Face's pipeline, with the image added | `file_name` or `image_id` | `label` | `box`, corners | `score` |
| supervision (`JSONSink`) | as above | `class_name` | `x_min` … `y_max` | `confidence` |

Ids are the reader's, and whoever has a VOC directory cannot know them, so image and class may be given by name instead.
Every fault is a UsageError of one line that names the file and the detection, counted from 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from bench.data.dataset import Problem
from bench.data.entries import Entry, entries
from bench.evaluation.boxes import Detections, Floats

SHOWN = 5
"""Names that a message lists."""
NAMES = frozenset({"file_name", "category_name"})
"""What must agree with ids that stand beside it."""
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"))


@dataclass(frozen=True)
class Dialect:
    """What no file says of itself, so whoever reads it does."""

    boxes: Literal["xywh", "xyxy"] = "xywh"
    """The four numbers of a `bbox`: corner and size, or two corners."""
    ignore_unknown: bool = False
    """Leave out what is on an image or of a category that the ground truth lacks, instead of refusing it."""

    def sides(self, box: Floats) -> Floats:
        """N x 4 as x, y, width, height; width and height are negative where corners are in the wrong order."""
        return box if self.boxes == "xywh" else np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1)


@dataclass(frozen=True)
class Known:
    """What predictions may refer to."""

    gt: Mapping[str, Any]
    """COCO's `images` and `categories`."""
    where: str
    """How messages call it, such as `gt.json`."""
    absent: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """By id file name and reason of each image that the ground truth lists and that cannot be used."""


def read_entries(
    path: Path, content: list[Any], known: Known, dialect: Dialect
) -> tuple[Detections, tuple[Problem, ...]]:
    """The detections of a list, and how many were left out for which unknown image or category."""
    images, categories = _images(known), _categories(known)
    left_out: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for entry in entries(path, content, "detection"):
        try:
            image, category = images.number(entry), categories.number(entry)
        except _UnknownError as unknown:
            if not dialect.ignore_unknown:
                entry.fail(f"{unknown}; --ignore-unknown leaves such detections out")
            left_out[str(unknown)] += 1
            continue
        score = entry.number("confidence" if "confidence" in entry.value and "score" not in entry.value else "score")
        found.append({"image_id": image, "category_id": category, "bbox": _box(entry, dialect), "score": score})
    problems = (Problem("unknown", str(path), f"{count} left out: {what}") for what, count in left_out.items())
    return Detections.of(found), tuple(problems)


def _box(entry: Entry, dialect: Dialect) -> list[float]:
    """x, y, width, height; from corners where the keys say so, or the dialect does."""
    if "bbox" in entry.value:
        if dialect.boxes == "xywh":
            return entry.box()
        x, y, right, bottom = entry.corner_and_size()
    else:
        holder = entry.value.get("box", entry.value)
        keys = next((k for k in _CORNERS if isinstance(holder, dict) and k[0] in holder), None)
        if keys is None:
            entry.get("bbox")
        corners = Entry(entry.path, entry.kind, entry.index, {"bbox": [holder.get(key) for key in keys or ()]})
        x, y, right, bottom = corners.corner_and_size()
    if right < x or bottom < y:
        entry.fail(f"its second corner ({right:g}, {bottom:g}) lies before its first ({x:g}, {y:g})")
    return [x, y, right - x, bottom - y]


class _UnknownError(Exception):
    """The ground truth does not have what a detection names."""


class _Names:
    """Ids that a ground truth has, and what they are called; `stems` where they are names of files."""

    def __init__(
        self, key: str, aliases: tuple[str, ...], names: Mapping[int, str], known: Known, *, stems: bool
    ) -> None:
        self._key, self._aliases, self._names, self._known, self._stems = key, aliases, names, known, stems
        self._full: dict[str, set[int]] = {}
        self._short: list[dict[str, set[int]]] = []
        for number, name in names.items():
            if name:
                self._full.setdefault(name, set()).add(number)

    def also_known_as(self, pairs: Iterable[tuple[str, int]]) -> None:
        """Names that count where those given before do not have them."""
        short: dict[str, set[int]] = {}
        for name, number in pairs:
            short.setdefault(name, set()).add(number)
        self._short.append(short)

    def number(self, entry: Entry) -> int:
        """The id that a detection names, by number, by name, or by both."""
        # A file of ids may hold any `label` beside them; what is called `…_name` must agree.
        usable = self._aliases[:1] if self._key in entry.value else self._aliases
        alias = next((alias for alias in usable if alias in entry.value), None)
        named = None if alias is None else self._by_name(entry, alias, entry.get(alias))
        if self._key not in entry.value:
            if named is None:
                entry.fail(f"has neither {self._key} nor {self._aliases[0]}")
            return named
        given = entry.value[self._key]
        if isinstance(given, str) and self._stems:
            return self._by_name(entry, self._key, given) if named is None else named
        number = entry.integer(self._key)
        if named is not None and (number == named or self._is_stem(number, named)):
            return named
        if number in self._known.absent and self._stems:
            raise _UnknownError(self._absent(number))
        if number not in self._names:
            raise _UnknownError(f"{self._key} {number} is not in {self._known.where}{self._range()}{self._off(number)}")
        if named is not None:
            entry.fail(f"{self._key} {number} is {self._names[number]!r}, its {alias} says otherwise")
        return number

    def _absent(self, number: int) -> str:
        name, why = self._known.absent[number]
        return f"image {number} is listed but {why} ({name})"

    def _range(self) -> str:
        return f" (ids {min(self._names)} to {max(self._names)})" if self._names else ""

    def _off(self, number: int) -> str:
        """A hint at classes that are counted from another number: everything else would be scored as its neighbour."""
        if self._stems or not self._names:
            return ""
        if number == 0:
            return "; are the file's classes counted from 0? Give category_name, or the ids of the ground truth"
        first, last = min(self._names), max(self._names)
        shifted = first == 0 and number == last + 1
        return "; are the file's classes counted from 1? Give category_name, or other ids" if shifted else ""

    def _is_stem(self, number: int, named: int) -> bool:
        """Whether a tool made the number of the file's own name, as Ultralytics does of `000017.jpg`."""
        if not self._stems:
            return False
        stem = PurePosixPath(self._names[named]).stem
        return stem.isdecimal() and int(stem) == number

    def _by_name(self, entry: Entry, alias: str, name: Any) -> int:
        if not isinstance(name, str):
            entry.fail(f"{alias} must be a string")
        spellings = (name, PurePosixPath(name.replace("\\", "/")).name) if self._stems else (name,)
        tries = ((known, text) for text in spellings for known in (self._full, *self._short))
        ids = next((ids for known, text in tries if (ids := known.get(text))), None)
        if not ids:
            for number, (file, _) in self._known.absent.items():
                if self._stems and name in (file, PurePosixPath(file).name, PurePosixPath(file).stem):
                    raise _UnknownError(self._absent(number))
            some = ", ".join(list(self._full)[:SHOWN]) + (" …" if len(self._full) > SHOWN else "")
            there = f"such as {some}" if some else "which has no names"
            raise _UnknownError(f"{alias} {name!r} is not in {self._known.where} ({there})")
        if len(ids) > 1:
            entry.fail(f"{alias} {name!r} stands for {len(ids)} in {self._known.where}; give the {self._key}")
        return next(iter(ids))


def _images(known: Known) -> _Names:
    files = {image["id"]: str(image.get("file_name", "")) for image in known.gt["images"]}
    names = _Names("image_id", ("file_name",), files, known, stems=True)
    names.also_known_as((PurePosixPath(name).name, number) for number, name in files.items() if name)
    names.also_known_as((PurePosixPath(name).stem, number) for number, name in files.items() if name)
    return names


def _categories(known: Known) -> _Names:
    classes = {category["id"]: str(category["name"]) for category in known.gt["categories"]}
    return _Names("category_id", ("category_name", "class_name", "label"), classes, known, stems=False)
