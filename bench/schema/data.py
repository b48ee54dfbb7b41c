"""Data sets as a suite declares them: Shapes (generated), any VOC directory, any COCO JSON.

A path may hold `${NAME}` or `${NAME:-default}`; a relative one starts at the root
(`--root`, else the working directory).
"""

from typing import Annotated, Literal

from pydantic import Field

from bench.schema.base import Spec

Split = Literal["train", "tune", "test"]


class VocRules(Spec):
    """How VOC annotations become COCO boxes (HQOD, released code VP-QOD 27f69e85)."""

    difficult: Literal["crowd", "count", "drop"]
    """`crowd`: scored as crowd and ignored in training (HQOD); `count`: an ordinary object; `drop`: not there."""
    subtract_one: bool = True
    """VOC's corners start at 1; HQOD subtracts 1."""
    inclusive_extent: bool = False
    """Width is xmax - xmin + 1; HQOD leaves the + 1 out."""
    min_side: int = Field(default=0, ge=0)
    """Training boxes with a shorter side, px, are left out (mmdet's voc0712.py: 32; HQOD: 0)."""


class SplitCounts(Spec):
    """Number of images of each generated split."""

    train: int = Field(ge=1)
    tune: int = Field(default=0, ge=0)
    test: int = Field(ge=1)


class ShapesBase(Spec):
    """Generated scenes; the pixels and boxes depend on these fields and nothing else."""

    side: int = Field(ge=32, le=1024)
    """Width and height of an image, px."""
    images: SplitCounts


class ShapesVoc(ShapesBase, VocRules):
    """Shapes with 20 classes, written as a VOC directory and read back by the VOC reader."""

    kind: Literal["shapes-voc"]


class ShapesCoco(ShapesBase):
    """Shapes with 80 classes, written as COCO JSON and read back by the COCO reader."""

    kind: Literal["shapes-coco"]


class VocData(VocRules):
    """A VOC directory: `JPEGImages/`, `Annotations/`, `ImageSets/Main/`."""

    kind: Literal["voc"]
    path: str = Field(min_length=1)
    train: tuple[str, ...] = Field(min_length=1)
    """Splits such as `trainval`, or `VOC2007/trainval` where `path` holds several VOC directories."""
    tune: tuple[str, ...] = ()
    test: tuple[str, ...] = Field(min_length=1)
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """In order; left out: VOC's 20 where every name is one of them, else the sorted names of all splits."""


class CocoSplit(Spec):
    """One COCO JSON and the folder that its `file_name`s are relative to."""

    annotations: str = Field(min_length=1)
    images: str = Field(min_length=1)


class CocoData(Spec):
    """COCO JSON files below `path`."""

    kind: Literal["coco"]
    path: str = Field(min_length=1)
    train: CocoSplit
    tune: CocoSplit | None = None
    test: CocoSplit
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """A subset of the file's category names, in order; left out: all, by ascending id."""


DataSpec = Annotated[ShapesVoc | ShapesCoco | VocData | CocoData, Field(discriminator="kind")]
