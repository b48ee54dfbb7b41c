"""JSON that somebody else wrote, read entry by entry: every fault is one line that names the file and the entry.

By hand rather than by a schema library: a file of 118,000 images has 860,000 annotations, and polygons that nobody
here reads. Common values therefore take a short way, and only what is unusual is looked at twice.
"""

import gc
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson

from bench.errors import UsageError

LARGEST_PX = 1e8
"""Of a box; a sixteenth of a px of it fits the 32 bits in which boxes are stored."""
_ID_LIMIT = 1 << 63


def read_json(path: Path) -> Any:
    """The content of a UTF-8 JSON file; NaN and Infinity, which Python's reader would take, are refused.

    Raises:
        UsageError: absent, unreadable, empty, not UTF-8, not JSON, nested too deeply.
    """
    return parse_json(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The content of a file; UsageError where it is absent or cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def parse_json(path: Path, data: bytes) -> Any:
    """As `read_json`, of bytes that were read from `path`.

    orjson takes a tenth of the time of Python's reader; what it refuses is read again by that one, for the reason.
    """
    collected = gc.isenabled()
    gc.disable()  # nothing that is parsed can be garbage, and to look for some takes half of the time
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parse_slowly(path, data)
    finally:
        if collected:
            gc.enable()


def _parse_slowly(path: Path, data: bytes) -> Any:
    """Python's reader: takes a byte order mark and numbers of any length, and says what is wrong."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start}){_packed(data)}") from error
    if not text.strip():
        raise UsageError(f"{path}: the file is empty")
    found: list[str] = []

    def note(name: str) -> float:
        found.append(name)
        return float(name)

    try:
        content = json.loads(text, parse_constant=note)
    except json.JSONDecodeError as error:
        where = f"in line {error.lineno}, column {error.colno}"
        raise UsageError(f"{path}: not JSON: {error.msg} {where}{_packed(data)}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply") from error
    except ValueError as error:  # Python's limit on the digits of an integer
        raise UsageError(f"{path}: holds a number with too many digits") from error
    if found:
        raise UsageError(f"{path}: holds {found[0]}; only finite numbers are allowed, see {_not_finite(content)}")
    return content


def _packed(data: bytes) -> str:
    """What a file that is no UTF-8 text probably is, and what to do."""
    starts = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\xfd7zXZ": "xz", b"BZh": "bzip2"}
    for start, what in starts.items():
        if data.startswith(start):
            return f": it is packed by {what}; unpack it first"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        return ": it is UTF-16; save it as UTF-8"
    return ""


def _not_finite(value: Any, place: str = "") -> str | None:
    """Where the first number that is not finite stands, such as `.annotations[17].area`, as jq writes it."""
    if isinstance(value, float):
        return None if math.isfinite(value) else place or "."
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        children = [(f".{key}", entry) for key, entry in value.items()]
    elif isinstance(value, list):
        children = [(f"[{index}]", entry) for index, entry in enumerate(value)]
    return next((found for step, entry in children if (found := _not_finite(entry, place + step))), None)


class Entry:
    """One object of a list, such as `dt.json: detection 17` (counted from 0), and its checked fields."""

    __slots__ = ("index", "kind", "path", "value")

    def __init__(self, path: Path, kind: str, index: int, value: Any) -> None:
        self.path, self.kind, self.index = path, kind, index
        if not isinstance(value, dict):
            self.fail(f"is {_name(value)}, not an object")
        self.value: dict[str, Any] = value

    def fail(self, what: str) -> NoReturn:
        """Raise a UsageError that names this entry."""
        raise UsageError(f"{self.path}: {self.kind} {self.index}: {what}")

    def get(self, key: str) -> Any:
        """A field that must be there."""
        if key not in self.value:
            self.fail(f"has no {key}")
        return self.value[key]

    def integer(self, key: str, bits: int = 64) -> int:
        """An id: an integer, or a float without a fraction, that fits a signed integer of so many bits."""
        value = self.get(key)
        if bits == 64 and type(value) is int and -_ID_LIMIT <= value < _ID_LIMIT:
            return value
        number = float(self._finite(key, value))
        if number != math.floor(number):
            self.fail(f"{key} {value} is not a whole number")
        if not -(1 << bits - 1) <= int(value) < 1 << bits - 1:
            self.fail(f"{key} {value} is too large")
        return int(value)

    def number(self, key: str) -> float:
        """A finite number; an integer stays one, so that a file that is read and written is the same."""
        return self._finite(key, self.get(key))

    def flag(self, key: str) -> int:
        """0, 1, false or true; 0 where absent or null."""
        value = self.value.get(key)
        if value is None:
            return 0
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            self.fail(f"{key} must be 0 or 1, not {_name(value)}")
        return int(value)

    def text(self, key: str) -> str:
        """A string that is not empty and that can be printed and name a file: without half surrogate pairs."""
        value = self.get(key)
        if not isinstance(value, str):
            self.fail(f"{key} must be a string, not {_name(value)}")
        if not value:
            self.fail(f"{key} is empty")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            self.fail(f"{key} cannot be written in UTF-8")
        return value

    def pixels(self, key: str) -> int:
        """The side of an image, px; 0 where it is absent or null."""
        if self.value.get(key) is None:
            return 0
        side = self.integer(key, bits=32)
        if side < 0:
            self.fail(f"{key} is negative ({side})")
        return side

    def corner_and_size(self) -> list[float]:
        """`bbox`: x, y, w, h in px, none of them beyond 1e8; a width or height may be negative."""
        value = self.get("bbox")
        if not isinstance(value, list) or len(value) != 4:
            self.fail("bbox must be a list of four numbers [x, y, width, height]")
        for i, number in enumerate(value):
            if type(number) is not float or not -LARGEST_PX <= number <= LARGEST_PX:
                self._finite(f"bbox[{i}]", number)
                if abs(number) > LARGEST_PX:
                    self.fail("bbox is too large")
        return list(value)

    def box(self) -> list[float]:
        """As `corner_and_size`; a negative width or height is an error."""
        box = self.corner_and_size()
        if box[2] < 0 or box[3] < 0:
            self.fail(f"bbox has a negative {'width' if box[2] < 0 else 'height'} ({min(box[2:]):g})")
        return box

    def _finite(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{key} must be a number, not {_name(value)}")
        try:
            finite = math.isfinite(value)
        except OverflowError:
            self.fail(f"{key} is too large")
        if not finite:
            self.fail(f"{key} is not finite")
        return value


def entries(path: Path, value: Any, kind: str, plural: str | None = None) -> Iterator[Entry]:
    """The objects of a list; `kind` names one of them."""
    if not isinstance(value, list):
        raise UsageError(f"{path}: the {plural or kind + 's'} must be a list, not {_name(value)}")
    return (Entry(path, kind, index, item) for index, item in enumerate(value))


def _name(value: Any) -> str:
    """A JSON value in the words of a message."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), f"the number {value}" if abs(len(repr(value))) < 30 else "a long number")
