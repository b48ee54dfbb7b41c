"""Names of categories that are known before any data are read, and groups of them that a suite may name.

The groups are the taxonomies of the data sets. That they are the critical ones is our choice, not a paper's: the
publication of critical categories (arXiv 2407.03442) does not say which groups it used.
"""

from collections.abc import Mapping
from typing import NamedTuple

from bench.schema.base import Spec

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""Alphabetical, the order of mmdet's and of all published VOC label maps."""
_OUTLINES = ("disc", "square", "triangle", "star", "cross", "heart", "arrow", "hourglass", "leaf", "dome")
_FILLS = ("solid", "hollow", "striped", "dotted", "checkered", "halved", "framed", "cored")
SHAPES = {"shapes-voc": (_OUTLINES[:5], _FILLS[:4]), "shapes-coco": (_OUTLINES, _FILLS)}
"""By kind of data its outlines and fills, in the order of the labels; categories are called `fill-outline`."""


class Builtin(NamedTuple):
    """A group of a data set's own taxonomy."""

    categories: tuple[str, ...]
    source: str


_COCO = {
    "person": ("person",),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
}
_VOC = {
    "person": ("person",),
    "vehicle": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    "animal": ("bird", "cat", "cow", "dog", "horse", "sheep"),
    "indoor": ("bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor"),
}


def _shapes(kind: str) -> dict[str, tuple[str, ...]]:
    outlines, fills = SHAPES[kind]
    by_outline = {outline: tuple(f"{fill}-{outline}" for fill in fills) for outline in outlines}
    return by_outline | {fill: tuple(f"{fill}-{outline}" for outline in outlines) for fill in fills}


_TAXONOMIES: dict[str, tuple[Mapping[str, tuple[str, ...]], str]] = {
    "coco": (_COCO, "a super-category of COCO; our choice, not the paper's"),
    "voc": (_VOC, "a group of PASCAL VOC's taxonomy; our choice, not the paper's"),
    **{kind: (_shapes(kind), "the drawings of one outline or of one fill; our choice") for kind in SHAPES},
}


def builtin_groups(kind: str) -> dict[str, Builtin]:
    """By name the groups that data of this kind have; none of a kind whose categories are its author's."""
    groups, source = _TAXONOMIES.get(kind, ({}, ""))
    return {name: Builtin(categories, source) for name, categories in groups.items()}


def known_categories(data: Spec) -> tuple[str, ...] | None:
    """The names of a data set's categories; None where only reading it tells them."""
    kind = getattr(data, "kind", "")
    if kind in SHAPES:
        outlines, fills = SHAPES[kind]
        return tuple(f"{fill}-{outline}" for outline in outlines for fill in fills)
    classes: tuple[str, ...] | None = getattr(data, "classes", None)
    return classes
