"""Read every split of a data set and decode every image of it."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.data.dataset import Dataset, Problem
from bench.data.images import load_bgr
from bench.data.load import kind_of, load
from bench.data.sets import DataSet
from bench.errors import BenchError
from bench.schema.data import Split

SERIOUS = frozenset({"absent-image", "unreadable-image", "absent-annotation", "broken-annotation"})
"""Kinds of problems that take an image out; the data are not what they are meant to be."""


class Verified(NamedTuple):
    """What was found of one split."""

    split: Split
    counts: dict[str, int]
    problems: tuple[Problem, ...]
    digest: str
    """sha256 of the names and bytes of all images."""
    error: str | None
    """Why the split could not be read at all."""

    @property
    def readable(self) -> bool:
        """Whether all of it could be read; boxes that a reader mends or drops do no harm."""
        return self.error is None and not any(problem.kind in SERIOUS for problem in self.problems)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        problems = [problem._asdict() for problem in self.problems]
        return {**self._asdict(), "problems": problems, "readable": self.readable}

    def text(self) -> str:
        """The counts on one line, and a line for each problem."""
        if self.error is not None:
            return f"{self.split}: cannot be read: {self.error}"
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        lines = [f"  {kind} {where}: {detail}" for kind, where, detail in self.problems]
        return "\n".join([f"{self.split}: {counts}; images sha256:{self.digest[:16]}", *lines])


def verify(entry: DataSet, progress: Callable[[int, int], None]) -> list[Verified]:
    """All splits that the data set declares; `progress` counts the images of one after the other."""
    if entry.absent is not None:
        raise BenchError(f"{entry.name}: {entry.absent}")
    return [_split(entry, split, progress) for split in kind_of(entry.spec, entry.root).splits]


def _split(entry: DataSet, split: Split, progress: Callable[[int, int], None]) -> Verified:
    try:
        data = load(entry.spec, split, entry.root, entry.cache, verify=True)
    except BenchError as error:
        return Verified(split, {}, (), "", str(error))
    digest, damaged = _decode(data, progress)
    problems = (*data.problems, *damaged)
    counts = data.counts()
    if damaged:
        counts["unreadable-image"] = counts.get("unreadable-image", 0) + len(damaged)
    return Verified(split, counts, problems, digest, None)


def _decode(data: Dataset, progress: Callable[[int, int], None]) -> tuple[str, list[Problem]]:
    """Readers probe headers only; a truncated image shows when its pixels are decoded."""
    digest, damaged = hashlib.sha256(), []
    images = data.coco["images"]
    for done, image in enumerate(images, start=1):
        name = image["file_name"]
        path = data.images_root / name
        try:
            load_bgr(path)
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        except (BenchError, OSError) as error:
            damaged.append(Problem("unreadable-image", name, str(error)))
        progress(done, len(images))
    return digest.hexdigest(), damaged
