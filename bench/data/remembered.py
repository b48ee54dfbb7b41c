"""Fingerprints of large data sets, remembered for planning: a JSON file of 400 MB is hashed and searched once.

A note in the store holds, for one data set, size, time and inode of each annotation file, name and size of the images
in it, and the fingerprint. It answers as long as all of these are as they were. Only planning asks it: whoever computes
results hashes the content itself (`bench.data.load.fingerprint`).
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from bench.data.kind import Planned
from bench.data.paths import Listing
from bench.errors import BenchError
from bench.records.files import write_atomically
from bench.records.store import LOCAL

LEAST_BYTES = 8 << 20
"""Of the annotation files together; fewer are hashed in the time of reading a note."""
_YOUNG_NS = 2_000_000_000
"""A file that changed less than this before may change again at the same time stamp."""


class Part(NamedTuple):
    """One annotation file of a data set."""

    file: Path
    images: Path
    names: list[str]
    """Of the images in it, relative to their folder; empty before the file was searched."""


def recall(root: Path, parts: Sequence[Part]) -> Planned | None:
    """What planning asks of a data set of these files; None where it is not known, or anything has changed."""
    try:
        note = orjson.loads(_note(root, parts).read_bytes())
        found = [part._replace(names=known) for part, known in zip(parts, note["names"], strict=True)]
        if note["files"] == _facts(parts) and note["sizes"] == _sizes(found):
            return Planned(str(note["pin"]), str(note["order"]))
    except (OSError, ValueError, KeyError, TypeError, BenchError):
        pass
    return None


def remember(root: Path, parts: Sequence[Part], planned: Planned, before: list[Any] | None) -> None:
    """Keep what planning asks where that is possible; `before` is what `facts` said before the files were read."""
    try:
        if before is None or before != _facts(parts) or sum(size for _, size, _, _ in before) < LEAST_BYTES:
            return
        if time.time_ns() - max(changed for _, _, changed, _ in before) < _YOUNG_NS:
            return
        names = [part.names for part in parts]
        note = {"files": before, "names": names, "sizes": _sizes(parts), **planned._asdict()}
        path = _note(root, parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda beside: beside.write_bytes(orjson.dumps(note)))
    except (OSError, BenchError):
        return


def facts(parts: Sequence[Part]) -> list[Any] | None:
    """What of the annotation files changes with their content; None where one is not there."""
    try:
        return _facts(parts)
    except OSError:
        return None


def _facts(parts: Sequence[Part]) -> list[Any]:
    stats = [part.file.stat() for part in parts]
    return [[str(p.file), s.st_size, s.st_mtime_ns, s.st_ino] for p, s in zip(parts, stats, strict=True)]


def _sizes(parts: Sequence[Part]) -> list[list[int | None]]:
    return [Listing(part.images).sizes(part.names) for part in parts]


def _note(root: Path, parts: Sequence[Part]) -> Path:
    asked = orjson.dumps([[str(part.file), str(part.images)] for part in parts])
    return root / LOCAL / "pins" / f"{hashlib.sha256(asked).hexdigest()[:16]}.json"
