"""Reading JSON that somebody else wrote: every fault is one line that names the file and the entry."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from bench.errors import UsageError

_LARGEST_PX = 1e8  # a sixteenth of a px of it fits the 32 bits in which boxes are stored


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
    """As `read_json`, of bytes that were read from `path`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise UsageError(f"{path}: the file is empty")

    def refuse(name: str) -> NoReturn:
        raise UsageError(f"{path}: holds {name}; only finite numbers are allowed")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply") from error
    except ValueError as error:  # Python's limit on the digits of an integer
        raise UsageError(f"{path}: holds a number with too many digits") from error


class Entry:
    """One object of a list, such as `dt.json: detection 17` (counted from 0), and its checked fields."""

    def __init__(self, path: Path, kind: str, index: int, value: Any) -> None:
        self._where = f"{path}: {kind} {index}"
        if not isinstance(value, dict):
            self.fail(f"is {_name(value)}, not an object")
        self.value: dict[str, Any] = value

    def fail(self, what: str) -> NoReturn:
        """Raise a UsageError that names this entry."""
        raise UsageError(f"{self._where}: {what}")

    def get(self, key: str) -> Any:
        """A field that must be there."""
        if key not in self.value:
            self.fail(f"has no {key}")
        return self.value[key]

    def integer(self, key: str, bits: int = 64) -> int:
        """An id: an integer, or a float without a fraction, that fits a signed integer of so many bits."""
        value = self.get(key)
        number = self._finite(key, value)
        if number != math.floor(number):
            self.fail(f"{key} {value} is not a whole number")
        if not -(1 << bits - 1) <= int(value) < 1 << bits - 1:
            self.fail(f"{key} {value} is too large")
        return int(value)

    def number(self, key: str) -> float:
        """A finite number."""
        return self._finite(key, self.get(key))

    def flag(self, key: str) -> int:
        """0, 1, false or true; 0 where absent."""
        value = self.value.get(key, 0)
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            self.fail(f"{key} must be 0 or 1, not {_name(value)}")
        return int(value)

    def box(self) -> list[float]:
        """`bbox`: x, y, w, h in px, none of them beyond 1e8; width and height at least 0."""
        value = self.get("bbox")
        if not isinstance(value, list) or len(value) != 4:
            self.fail("bbox must be a list of four numbers [x, y, width, height]")
        box = [self._finite(f"bbox[{i}]", number) for i, number in enumerate(value)]
        if min(box[2:]) < 0:
            self.fail(f"bbox has a negative {'width' if box[2] < 0 else 'height'} ({min(box[2:]):g})")
        if max(map(abs, box)) > _LARGEST_PX:
            self.fail("bbox is too large")
        return box

    def _finite(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{key} must be a number, not {_name(value)}")
        try:
            number = float(value)
        except OverflowError:
            self.fail(f"{key} is too large")
        if not math.isfinite(number):
            self.fail(f"{key} is not finite")
        return number


def entries(path: Path, kind: str, value: Any) -> list[Entry]:
    """The objects of a list; `kind` names one of them."""
    if not isinstance(value, list):
        raise UsageError(f"{path}: the {kind}s must be a list, not {_name(value)}")
    return [Entry(path, kind, index, item) for index, item in enumerate(value)]


def _name(value: Any) -> str:
    """A JSON value in the words of a message."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), f"the number {value}" if abs(len(repr(value))) < 30 else "a long number")
