"""Read every split of a data set and decode every image of it."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.data.dataset import Dataset, Problem, printable
from bench.data.doubts import by_kind, doubts, shared, twins
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
    """What the reader left out or mended."""
    digest: str
    """sha256 of the names and bytes of all images."""
    error: str | None
    """Why the split could not be read at all."""
    classes: dict[str, int] = {}  # noqa: RUF012 (a NamedTuple's default)
    """Boxes of each class."""
    doubts: tuple[Problem, ...] = ()
    """What is allowed and rarely meant."""

    @property
    def readable(self) -> bool:
        """Whether all of it could be read; boxes that a reader mends or drops do no harm."""
        return self.error is None and not any(problem.kind in SERIOUS for problem in self.problems)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        problems = [problem._asdict() for problem in self.problems]
        doubts = [doubt._asdict() for doubt in self.doubts]
        return {**self._asdict(), "problems": problems, "doubts": doubts, "readable": self.readable}

    def text(self, every: bool = False) -> str:
        """The counts on one line, the classes on one, and one for each kind of problem; `every` problem on its own."""
        if self.error is not None:
            return f"{self.split}: cannot be read: {self.error}"
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.counts.items())
        classes = ", ".join(f"{printable(name)} {count}" for name, count in self.classes.items())
        lines = by_kind((*self.problems, *self.doubts), every)
        head = f"{self.split}: {counts}; images sha256:{self.digest[:16]}"
        return "\n  ".join([head, f"classes: {classes}", *lines])


def verify(entry: DataSet, progress: Callable[[int, int], None]) -> list[Verified]:
    """All splits that the data set declares; `progress` counts the images of one after the other."""
    kind = kind_of(entry.spec, entry.root)
    if missing := kind.missing(entry.cache):
        raise BenchError(f"{entry.name}: {missing}")
    digests: dict[str, dict[str, str]] = {}
    found = [_split(entry, split, progress, digests) for split in kind.splits]
    common = shared(digests)
    for number, one in enumerate(found):
        own = [doubt for doubt in common if doubt.detail.startswith(f"of split {one.split} ")]
        found[number] = one._replace(doubts=(*one.doubts, *own))
    return found


def _split(
    entry: DataSet, split: Split, progress: Callable[[int, int], None], digests: dict[str, dict[str, str]]
) -> Verified:
    try:
        data = load(entry.spec, split, entry.root, entry.cache, verify=True)
    except BenchError as error:
        return Verified(split, {}, (), "", str(error))
    digests[split], whole, damaged = _decode(data, progress)
    problems = (*data.problems, *damaged)
    counts = data.counts()
    if damaged:
        counts["unreadable-image"] = counts.get("unreadable-image", 0) + len(damaged)
    of_class = Counter(annotation["category_id"] for annotation in data.coco["annotations"])
    classes = {category["name"]: of_class[category["id"]] for category in data.coco["categories"]}
    found = (*doubts(data.coco), *twins(split, digests[split], (image["file_name"] for image in data.coco["images"])))
    return Verified(split, counts, problems, whole, None, classes, found)


def _decode(data: Dataset, progress: Callable[[int, int], None]) -> tuple[dict[str, str], str, list[Problem]]:
    """The sha256 of each image's bytes and of all; readers probe headers only, and one that is cut off shows here."""
    digests: dict[str, str] = {}
    whole, damaged = hashlib.sha256(), []
    images = data.coco["images"]
    for done, image in enumerate(images, start=1):
        name = image["file_name"]
        path = data.images_root / name
        try:
            load_bgr(path)
            content = path.read_bytes()
            whole.update(f"{name} {len(content)}\n".encode() + content)
            digests[name] = hashlib.sha256(content).hexdigest()
        except (BenchError, OSError) as error:
            damaged.append(Problem("unreadable-image", name, str(error)))
        progress(done, len(images))
    return digests, whole.hexdigest(), damaged
