"""Strict reading of YAML: one plain mapping, and the line of everything in it.

Scalars follow the core schema of YAML 1.2 (`yes`, `on`, `1:30` and `2026-11-21` are strings). Anchors,
aliases, merge keys, tags, directives and duplicate keys are refused. The parser's events are read one at a
time, so a hostile file is refused at its first wrong event and nothing expands.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from bench.errors import UsageError

Loc = tuple[str | int, ...]
"""Where a value stands: `("rows", 2, "bits")`; the whole file is `()`."""

# What is read in well under a second, whatever the file holds.
MAX_BYTES = 128 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 20
MAX_NUMBER = 64

# U+2028 and U+2029 count as line ends in some editors and not in others, so lines would be named wrongly.
_FORBIDDEN = re.compile(r"[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_TAB_INDENT = re.compile(r"^ *\t[ \t]*[^ \t\n]", re.MULTILINE)
_DIRECTIVE = re.compile(r"(?: *+(?:#[^\n]*+)?\n)*+%")
_UNCLOSED = ("end of stream", "stream end", "could not find expected ':'")
_JARGON = {
    "unexpected end of stream": "a quotation mark is never closed",
    "content, but found '<stream end>'": "a bracket is never closed",
    "or ']', but got '<stream end>'": "a bracket [ is never closed",
    "or '}', but got '<stream end>'": "a bracket { is never closed",
    "could not find expected ':'": "a key without its colon",
    "mapping values are not allowed here": "a colon where no key can stand (check indentation and quotes)",
    "expected '<document start>'": "a second document begins; one file holds one mapping",
    "but found ':'": "a key must be a string, found nothing before the colon",
    "expected <block end>": "this does not fit what is above it (check indentation and quotes)",
    "character '\\t'": "a tab where only spaces may stand",
}
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True)
class Source:
    """A file's mapping in plain Python values, with the 1-based line of each value and of each key.

    A suite that was written out has other values than its file; `origins` says where in the file those that moved were
    written. All else stands where it stood.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[Loc, int]
    keys: dict[Loc, int]
    origins: dict[Loc, Loc] = field(default_factory=dict)

    def origin(self, loc: Loc) -> Loc:
        """Where in the file the author wrote the value at `loc`."""
        return traced(loc, self.origins)

    def line(self, loc: Loc) -> int:
        """Line of the value at `loc`, or of the nearest value around it where there is none."""
        loc = self.origin(loc)
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def key_line(self, loc: Loc) -> int:
        """Line of the key that leads to `loc`; of the value itself where it is no mapping's."""
        return self.keys.get(self.origin(loc)) or self.line(loc)


def traced(loc: Loc, origins: Mapping[Loc, Loc]) -> Loc:
    """Where a value was written: of the moved values around `loc` the innermost says it."""
    for depth in range(len(loc), 0, -1):
        if (origin := origins.get(loc[:depth])) is not None:
            return (*origin, *loc[depth:])
    return loc


def load_mapping(path: Path) -> Source:
    """Read the mapping in a YAML file; a `UsageError` says `path:line: what is wrong` in one line."""
    text = _decode(path, _read(path))
    builder = _parse(path, text)
    if builder.root is None:
        _fail(path, 1, "holds only comments; a mapping is wanted" if text.strip() else "the file is empty")
    return Source(path, builder.root, builder.lines, builder.keys)


def found(value: Any) -> str:
    """Words for a value in an error message: `the string "x"`, `a list`; always one short line."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the integer {value}"
        case float():
            return f"the number {value}"
        case str():
            return f"the string {quote(value)}"
        case list():
            return "a list"
    return "a mapping"


def quote(text: str) -> str:
    """The text in double quotes, shortened, on one line whatever it holds."""
    short = text if len(text) <= 60 else text[:57] + "..."
    inner = short.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"' if short.isprintable() else ascii(short)


def shown(path: Path) -> str:
    """The path as given; escaped where it would break the line."""
    return str(path) if str(path).isprintable() else ascii(str(path))


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk`, but with an OSError for what may not be read, which `os.walk` and `rglob` take for empty.

    What is absent, or goes meanwhile, is empty.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    return os.walk(folder, onerror=refuse)


def told(error: OSError) -> str:
    """What failed, in one line: the path and the system's reason; where a file bars the way, that file."""
    if not isinstance(error.filename, str | bytes):
        return str(error.strerror or error)
    path = Path(os.fsdecode(error.filename))
    if isinstance(error, NotADirectoryError | FileExistsError):
        barring = next((part for part in (*reversed(path.parents), path) if part.is_file()), None)
        if barring is not None:
            return f"{shown(barring)}: is a file where a folder is wanted; move it away"
    return f"{shown(path)}: {error.strerror or error}"


def _fail(path: Path, line: int, message: str) -> NoReturn:
    raise UsageError(f"{shown(path)}:{line}: {message}")


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or a device could block for ever
            reason = "is not a file" if path.exists() else "no such file"
            raise UsageError(f"{shown(path)}: {reason}; the path of a YAML file is wanted")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{shown(path)}: cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{shown(path)}: is larger than {MAX_BYTES // 1024} KiB")
    return content


def _decode(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        # `error.object` lacks the byte order mark, so `start` counts in it and not in `content`.
        line = error.object.count(b"\n", 0, error.start) + 1
        _fail(path, line, f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save the file as UTF-8")
    if bad := _FORBIDDEN.search(text):
        _fail(path, _line_at(text, bad.start()), f"character U+{ord(bad[0]):04X} is not allowed")
    if tab := _TAB_INDENT.search(text):
        _fail(path, _line_at(text, tab.start()), "a tab in the indentation; indent with spaces")
    if directive := _DIRECTIVE.match(text):
        _fail(path, _line_at(text, directive.end()), "directives (%) are not allowed")
    return text


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _parse(path: Path, text: str) -> "_Builder":
    """What the parser's events build; its errors go to the user in one line.

    libyaml reads ten times as fast as PyYAML's own parser, which says more clearly what is wrong.
    """
    builder = _Builder(path, text)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.take(event)
    except yaml.YAMLError:
        return _explain(path, text)
    return builder


def _explain(path: Path, text: str) -> "_Builder":
    builder = _Builder(path, text)
    last = text.rstrip("\n").count("\n") + 1
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            builder.take(loader.get_event())
    except yaml.MarkedYAMLError as error:
        line, problem = _syntax(error, builder.open_line)
        _fail(path, min(line, last), problem)
    except (yaml.YAMLError, ValueError, OverflowError):
        # The parser converts escapes such as "\\UFFFFFFFF" and version numbers unchecked.
        _fail(path, min(loader.line + 1, last), "not valid YAML: an escape or a number out of range")
    finally:
        loader.dispose()
    return builder


def _syntax(error: yaml.MarkedYAMLError, open_line: int) -> tuple[int, str]:
    """Line and message of a syntax error; where something was never closed, the line where it was opened."""
    problem = " ".join(str(error.problem or error.context).split())[:200]
    before, here = error.context_mark, error.problem_mark or error.context_mark
    message = next((words for jargon, words in _JARGON.items() if jargon in problem), problem)
    if "content, but found '<stream end>'" in problem:
        return open_line, f"not valid YAML: {message}"
    if before is not None and any(word in problem for word in _UNCLOSED):
        return before.line + 1, f"not valid YAML: {message}"
    if before is not None and before.line < here.line and "flow" in str(error.context):
        message += f" (in the brackets opened on line {before.line + 1})"
    return here.line + 1, f"not valid YAML: {message}"


@dataclass
class _Frame:
    """A mapping or list that is still open."""

    value: dict[str, Any] | list[Any]
    loc: Loc
    key: str | None = None


@dataclass
class _Builder:
    """Builds the values from events; a stack of its own, since recursion lets the file choose the depth."""

    path: Path
    text: str
    root: dict[str, Any] | None = None
    lines: dict[Loc, int] = field(default_factory=dict)
    keys: dict[Loc, int] = field(default_factory=dict)
    stack: list[_Frame] = field(default_factory=list)
    nodes: int = 0
    documents: int = 0

    @property
    def open_line(self) -> int:
        """Line where the innermost mapping or list that is still open begins."""
        return self.lines[self.stack[-1].loc] if self.stack else 1

    def take(self, event: Any) -> None:
        """Take the next event."""
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                _fail(self.path, line, "a second document begins; one file holds one mapping")
        elif isinstance(event, CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, NodeEvent):
            self._check(event, line)
            frame = self.stack[-1] if self.stack else None
            if frame is not None and frame.key is None and isinstance(frame.value, dict):
                self._key(frame, event, line)
            else:
                self._value(frame, event, line)

    def _check(self, event: Any, line: int) -> None:
        self.nodes += 1
        if self.text[event.start_mark.index - 1 : event.start_mark.index] == "\t":
            _fail(self.path, line, "a tab where only spaces may stand")
        if isinstance(event, AliasEvent):
            _fail(self.path, line, f"aliases (*{event.anchor[:40]}) are not allowed; write the value out")
        if event.anchor is not None:
            _fail(self.path, line, f"anchors (&{event.anchor[:40]}) are not allowed; write the value out")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            _fail(self.path, line, f"tags ({quote(tag)}) are not allowed")
        if self.nodes > MAX_NODES:
            _fail(self.path, line, f"more than {MAX_NODES:,} values and keys; too large")

    def _key(self, frame: _Frame, event: Any, line: int) -> None:
        key = self._plain_value(event, line)
        if key == "<<" and event.implicit[0]:
            _fail(self.path, line, "merge keys (<<) are not allowed; write the values out")
        if not isinstance(key, str):
            comma = " (decimals follow a point, not a comma)" if type(key) in (int, float) else ""
            _fail(self.path, line, f"a key must be a string, found {found(key)}; quote it if it is meant so{comma}")
        loc = (*frame.loc, key)
        if loc in self.keys:
            _fail(self.path, line, f"duplicate key {quote(key)}; it stands on line {self.keys[loc]} already")
        self.keys[loc] = line
        frame.key = key

    def _value(self, frame: _Frame | None, event: Any, line: int) -> None:
        value = self._plain_value(event, line)
        loc: Loc = ()
        if frame is None:
            if not isinstance(value, dict):
                what = f"the top level must be a mapping (`key: value`), found {found(value)}"
                _fail(self.path, 1 if value is None else line, what)
            self.root = value
        elif isinstance(frame.value, list):
            loc = (*frame.loc, len(frame.value))
            frame.value.append(value)
        else:
            assert frame.key is not None
            if value is None:
                # The parser places an empty value where the next token is, lines further down.
                line = self.keys[(*frame.loc, frame.key)]
            loc = (*frame.loc, frame.key)
            frame.value[frame.key] = value
            frame.key = None
        self.lines[loc] = line
        if isinstance(value, dict | list):
            self.stack.append(_Frame(value, loc))
            if len(self.stack) > MAX_DEPTH:
                _fail(self.path, line, f"nested deeper than {MAX_DEPTH} levels")

    def _plain_value(self, event: Any, line: int) -> Any:
        if not isinstance(event, ScalarEvent):
            return {} if isinstance(event, MappingStartEvent) else []
        if bad := _FORBIDDEN.search(event.value):  # by an escape: "\0" or half a surrogate pair
            _fail(self.path, line, f"character U+{ord(bad[0]):04X} is not allowed")
        if not event.implicit[0]:
            return event.value
        try:
            return plain(event.value)
        except ValueError as error:
            _fail(self.path, line, str(error))


def plain(text: str) -> bool | int | float | str | None:
    """Value of an unquoted scalar by YAML 1.2's core schema; ValueError for numbers out of range."""
    if text in _WORDS:
        return _WORDS[text]
    is_int = _INT.fullmatch(text) is not None
    if not is_int and not _FLOAT.fullmatch(text):
        if _NON_FINITE.fullmatch(text):
            raise ValueError(f"{text} is not a finite number")
        return text
    if len(text) > MAX_NUMBER:
        raise ValueError(f"a number of {len(text)} characters; quote it if it is text")
    if is_int:
        # `0o17` and `0x1f` name their base; int(…, 0) would refuse the leading zeros that the schema allows.
        number = int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"the integer {text} does not fit in 64 bits; quote it if it is text")
        return number
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is too large; quote it if it is text")
    return value
