"""An unpacked folder: its marker, whether it is whole, and whether each file is still what it was.

A folder is filled under another name and renamed when its marker is in it, so what carries the final name was
whole once. The marker says for which pin, and how many files and bytes; `SHA256SUMS` has every file's hash.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data.pins.digests import CHUNK, Progress
from bench.data.pins.pin import Pin
from bench.data.pins.unpack import MARKER, SUMS
from bench.errors import BenchError


def finish(folder: Path, pin: Pin, sums: dict[str, str]) -> None:
    """Compare what was unpacked with the pin's `contents` and write the list of hashes and, last, the marker.

    Raises BenchError, with both values, where they differ.
    """
    text = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums, key=str.encode))
    count = sum(size for _, size in _files(folder))
    wanted = pin.meta.contents
    found = {"files": len(sums), "bytes": count, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    for fact, value in wanted.model_dump(exclude_none=True).items():
        if found[fact] != value:
            raise BenchError(f"{pin.name}: {fact} of the contents is {found[fact]}, the pin has {value}")
    (folder / SUMS).write_text(text, encoding="utf-8")
    _sync(folder / SUMS)
    (folder / MARKER).write_text(json.dumps({"pin": pin.identity, **found}, indent=1) + "\n", encoding="utf-8")
    _sync(folder / MARKER)


def whole(pin: Pin) -> bool:
    """Whether the folder is there and whole by the number of its files and bytes; False where it is absent.

    Raises BenchError, with the mend, for a folder of another pin, or one that has lost or gained anything.
    """
    folder = pin.folder
    if not os.path.lexists(folder):
        return False
    mend = f"delete the folder and repeat `qdet-bench data get {pin.name}`"
    marker = _marker(folder)
    if marker is None:
        raise BenchError(f"{folder}: has no {MARKER} that can be read, so it may be half a data set; {mend}")
    if marker["pin"] != pin.identity:
        raise BenchError(f"{folder}: was unpacked for another version of data/{pin.name}.dvc; {mend}")
    sizes = [size for _, size in _files(folder)]
    if (len(sizes), sum(sizes)) != (marker["files"], marker["bytes"]):
        held = f"{len(sizes)} files of {sum(sizes)} bytes"
        raise BenchError(f"{folder}: {held} instead of {marker['files']} of {marker['bytes']}; {mend}")
    return True


def faults(pin: Pin, progress: Progress) -> list[str]:
    """What is no longer as it was unpacked: a line for each file that is absent, altered or new.

    Raises BenchError where the folder has no marker or list that belongs to the pin.
    """
    folder, marker = pin.folder, _marker(pin.folder)
    if marker is None or marker["pin"] != pin.identity:
        return [f"{folder}: not unpacked for data/{pin.name}.dvc as it is now"]
    try:
        text = (folder / SUMS).read_bytes()
    except OSError as error:
        return [f"{folder / SUMS}: cannot be read: {error.strerror}"]
    if hashlib.sha256(text).hexdigest() != marker["sha256"]:
        return [f"{folder / SUMS}: altered"]
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in text.decode().splitlines())}
    there = dict(_files(folder))
    problems = [f"{folder / name}: absent" for name in wanted if name not in there]
    problems += [f"{folder / name}: not of this data set" for name in there if name not in wanted]
    done, total = 0, sum(there.values())
    for name in sorted(there.keys() & wanted.keys()):
        if (fault := _altered(folder / name, wanted[name])) is not None:
            problems.append(fault)
        done += there[name]
        progress(f"checking {pin.name}", done, total)
    return problems


def _marker(folder: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return marker if {"pin", "files", "bytes", "sha256"} <= marker.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and bytes of all files but ours; a link counts as itself and is never followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            short = path.relative_to(folder).as_posix()
            if short not in (MARKER, SUMS):
                yield short, path.lstat().st_size


def _altered(path: Path, wanted: str) -> str | None:
    digest = hashlib.sha256()
    try:
        if path.is_symlink() or not path.is_file():
            return f"{path}: no longer a file"
        with path.open("rb") as handle:
            while chunk := handle.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    return None if digest.hexdigest() == wanted else f"{path}: sha256 is {digest.hexdigest()}, {wanted} was unpacked"


def _sync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
