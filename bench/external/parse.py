"""Detections that somebody computed elsewhere, brought onto the image and category ids of a suite's own ground truth.

Ids are the reader's: whoever has a VOC directory cannot know them, so both may be given by name instead. Every fault
is a UsageError of one line that names the file and the detection, counted from 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.entries import Entry, entries, parse_json
from bench.errors import UsageError

SHOWN = 5
"""Names that a message lists."""


def parse_detections(path: Path, data: bytes) -> list[Entry]:
    """The detections in the bytes of `path`; nothing is asked yet of the fields of one."""
    content = parse_json(path, data)
    if not isinstance(content, list):
        raise UsageError(
            f"{path}: detections must be a list of objects with image_id or file_name, category_id or "
            "category_name, bbox and score"
        )
    return list(entries(path, content, "detection"))


def resolve(found: Sequence[Entry], gt: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """A COCO result list on the ids of `gt`, in the order of `found`; `where` names the ground truth in messages.

    A `file_name` is that of the ground truth, or its last part where no two images share it. What is given by id and
    by name must agree: a wrong mapping looks like a bad detector otherwise.
    """
    files = {image["id"]: str(image["file_name"]) for image in gt["images"]}
    images = _Names("image_id", "file_name", files, where)
    images.also_known_as((PurePosixPath(name).name, number) for number, name in files.items())
    classes = {category["id"]: str(category["name"]) for category in gt["categories"]}
    categories = _Names("category_id", "category_name", classes, where)
    return [
        {
            "image_id": images.number(entry),
            "category_id": categories.number(entry),
            "bbox": entry.box(),
            "score": entry.number("score"),
        }
        for entry in found
    ]


class _Names:
    """Ids that a ground truth has, and what they are called."""

    def __init__(self, key: str, alias: str, names: Mapping[int, str], where: str) -> None:
        self._key, self._alias, self._names, self._where = key, alias, names, where
        self._ids: dict[str, set[int]] = {}
        self._short: dict[str, set[int]] = {}
        for number, name in names.items():
            self._ids.setdefault(name, set()).add(number)

    def also_known_as(self, pairs: Iterable[tuple[str, int]]) -> None:
        """Names that count where the full ones do not have them."""
        for name, number in pairs:
            self._short.setdefault(name, set()).add(number)

    def number(self, entry: Entry) -> int:
        """The id that a detection names, by number, by name, or by both."""
        named = self._by_name(entry) if self._alias in entry.value else None
        if self._key not in entry.value:
            if named is None:
                entry.fail(f"has neither {self._key} nor {self._alias}")
            return named
        number = entry.integer(self._key)
        if number not in self._names:
            entry.fail(f"{self._key} {number} is not in {self._where} (ids {min(self._names)} to {max(self._names)})")
        if named not in (None, number):
            entry.fail(f"{self._key} {number} is {self._names[number]!r}, its {self._alias} says otherwise")
        return number

    def _by_name(self, entry: Entry) -> int:
        name = entry.get(self._alias)
        if not isinstance(name, str):
            entry.fail(f"{self._alias} must be a string")
        ids = self._ids.get(name) or self._short.get(name) or set()
        if not ids:
            some = ", ".join(list(self._ids)[:SHOWN]) + (" …" if len(self._ids) > SHOWN else "")
            entry.fail(f"{self._alias} {name!r} is not in {self._where} (such as {some})")
        if len(ids) > 1:
            entry.fail(f"{self._alias} {name!r} stands for {len(ids)} in {self._where}; give the {self._key}")
        return next(iter(ids))
