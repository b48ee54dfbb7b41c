"""The entries of a COCO JSON, checked one by one: only the fields that are used, each fault with its place.

By hand rather than by a schema library: a file of 118,000 images has 860,000 annotations, and polygons that
nobody here reads.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from bench.data.paths import stays_inside
from bench.errors import UsageError

_ID_LIMIT = 2**63
"""pycocotools puts ids into int64 arrays."""


class Entries:
    """Images, annotations and categories of one file, reduced to the fields that are used.

    Every method raises UsageError naming the file, the entry and the field of a wrong type.
    """

    def __init__(self, file: Path, content: Any) -> None:
        self.file = file
        if not isinstance(content, dict):
            raise UsageError(f"{file}: an object with images, annotations and categories should stand here")
        self._content = content

    def categories(self) -> Iterator[dict[str, Any]]:
        """`id` and `name`."""
        for where, entry in self._section("categories"):
            yield {"id": self._id(where, entry, "id"), "name": self._text(where, entry, "name")}

    def images(self) -> Iterator[dict[str, Any]]:
        """`id`, `file_name`, and `width` and `height`, px, 0 where absent."""
        for where, entry in self._section("images"):
            name = self._text(where, entry, "file_name")
            if not stays_inside(name):
                self._fail(where, f"file_name {name!r} leaves the folder of the images")
            yield {
                "id": self._id(where, entry, "id"),
                "file_name": name,
                "width": self._side(where, entry, "width"),
                "height": self._side(where, entry, "height"),
            }

    def annotations(self) -> Iterator[dict[str, Any]]:
        """`id`, `image_id`, `category_id`, `bbox`, `iscrowd`, `area` (None where absent).

        `difficult` and `train_ignore` are handed on, for files that were written from a Dataset.
        """
        for where, entry in self._section("annotations"):
            annotation = {
                "id": self._id(where, entry, "id"),
                "image_id": self._id(where, entry, "image_id"),
                "category_id": self._id(where, entry, "category_id"),
                "bbox": self._box(where, entry.get("bbox")),
                "area": None if entry.get("area") is None else self._number(where, entry["area"], "area"),
                "iscrowd": self._flag(where, entry, "iscrowd"),
            }
            for flag in ("difficult", "train_ignore"):
                if flag in entry:
                    annotation[flag] = self._flag(where, entry, flag)
            yield annotation

    def _fail(self, where: str, what: str) -> NoReturn:
        raise UsageError(f"{self.file}: {where}: {what}")

    def _section(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        section = self._content.get(name)
        if not isinstance(section, list):
            self._fail(name, f"a list should stand here, not {_kind(section)}")
        for index, entry in enumerate(section):
            where = f"{name}[{index}]"
            if not isinstance(entry, dict):
                self._fail(where, f"an object should stand here, not {_kind(entry)}")
            yield where, entry

    def _id(self, where: str, entry: dict[str, Any], field: str) -> int:
        value = entry.get(field)
        if type(value) is not int or not -_ID_LIMIT <= value < _ID_LIMIT:
            self._fail(where, f"{field} should be an integer, not {_kind(value)}")
        return value

    def _text(self, where: str, entry: dict[str, Any], field: str) -> str:
        value = entry.get(field)
        # Half a surrogate pair can neither be printed nor name a file.
        if not isinstance(value, str) or not value or any("\ud800" <= c <= "\udfff" for c in value):
            self._fail(where, f"{field} should be text, not {_kind(value)}")
        return value

    def _side(self, where: str, entry: dict[str, Any], field: str) -> int:
        value = entry.get(field, 0)
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or value < 0:
            self._fail(where, f"{field} should be a number of pixels, not {_kind(value)}")
        return value

    def _number(self, where: str, value: Any, field: str) -> float:
        if type(value) is float:
            return value
        if type(value) is not int:
            self._fail(where, f"{field} should be a number, not {_kind(value)}")
        # Integers stay integers, so that a file read and written is the same; huge ones count as infinite.
        return value if abs(value) < _ID_LIMIT else math.inf

    def _box(self, where: str, value: Any) -> list[float]:
        if not isinstance(value, list) or len(value) != 4:
            self._fail(where, f"bbox should be [x, y, width, height], not {_kind(value)}")
        return [self._number(where, number, "bbox") for number in value]

    def _flag(self, where: str, entry: dict[str, Any], field: str) -> int:
        value = entry.get(field, 0)
        if value not in (0, 1) or not isinstance(value, int):
            self._fail(where, f"{field} should be 0 or 1, not {_kind(value)}")
        return int(value)


def _kind(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
