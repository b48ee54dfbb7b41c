"""The one in-memory form of a data set: COCO JSON and the folder of its images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """Something wrong in the source, and what the reader did about it."""

    kind: str
    """A short slug such as `degenerate-box`, `absent-image`, `unreadable-image`, `size-mismatch`."""
    where: str
    """File name (and object number)."""
    detail: str

    @property
    def text(self) -> str:
        """Where and what, in characters that can be printed: names of files come from somebody else."""
        return printable(f"{self.where}: {self.detail}")


SHOWN = 3
"""Problems of one kind that are spelt out."""


def printable(text: str) -> str:
    """The text; escaped where it would break a line or control a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def summary(problems: Sequence[Problem]) -> str:
    """The first problems in words, and the number of the others."""
    words = [problem.text for problem in problems[:SHOWN]]
    return "; ".join(words + ([f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []))


@dataclass(frozen=True)
class Dataset:
    """One split. `coco` has `images`, `annotations`, `categories` as COCO defines them.

    An annotation has `id, image_id, category_id, bbox [x, y, w, h] (px), area, iscrowd` and, where the source
    knows it, `difficult`. One with `train_ignore: 1` is not a training target, but counts in scoring; one with
    `scored_only: 1`, without extent or outside of its image, is not even shown to training.
    Image sizes are those after EXIF orientation; ids are unique; every image exists.
    """

    name: str
    images_root: Path
    coco: dict[str, list[dict[str, Any]]]
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    left_out: Mapping[int, tuple[str, str]] = field(default_factory=dict, repr=False)
    """By id file name and fault of each image that the source lists and that cannot be used."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Category names, in the order of their labels."""
        return tuple(category["name"] for category in self.coco["categories"])

    def counts(self) -> dict[str, int]:
        """Number of images, boxes, crowd boxes, empty images, and of each kind of problem."""
        annotations = self.coco["annotations"]
        filled = {a["image_id"] for a in annotations}
        return {
            "images": len(self.coco["images"]),
            "boxes": len(annotations),
            "crowd": sum(a["iscrowd"] for a in annotations),
            "empty_images": sum(i["id"] not in filled for i in self.coco["images"]),
            **Counter(p.kind for p in self.problems),
        }
