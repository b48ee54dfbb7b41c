"""Data sets as a suite declares them: Shapes (generated), any VOC directory, any COCO JSON.

A path may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root
(`--root`, else the working directory).
"""

from typing import Annotated, Literal

from pydantic import Field

from bench.schema.base import Spec

Split = Literal["train", "tune", "test"]


class VocRules(Spec):
    """How VOC annotations become COCO boxes (HQOD, released code VP-QOD 27f69e85)."""

    difficult: Literal["crowd", "count", "drop"]
    """Objects marked as difficult. `crowd`: scored as COCO's crowd and ignored in training (HQOD); `count`: ordinary
    objects; `drop`: left out."""
    subtract_one: bool = True
    """Subtract 1 from coordinates, since VOC counts pixels from 1; HQOD does."""
    inclusive_extent: bool = False
    """Whether the width is xmax - xmin + 1; HQOD has xmax - xmin."""
    min_side: int = Field(default=0, ge=0)
    """Training boxes with a shorter side than this, px, are left out (mmdet's voc0712.py: 32; HQOD: 0)."""


class SplitCounts(Spec):
    """Number of images of each generated split."""

    train: int = Field(ge=1)
    tune: int = Field(default=0, ge=0)
    """Images for choosing schedules, which no claim or verdict uses."""
    test: int = Field(ge=1)


class ShapesBase(Spec):
    """Generated drawings; their pixels and boxes depend on these fields alone."""

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
    """The directory. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root."""
    train: tuple[str, ...] = Field(min_length=1)
    """Splits such as `trainval`, or `VOC2007/trainval` if `path` contains several VOC directories."""
    tune: tuple[str, ...] = ()
    """Splits for choosing schedules, which no claim or verdict uses."""
    test: tuple[str, ...] = Field(min_length=1)
    """Splits that rows are scored on."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The classes in order. By default VOC's 20 if every name is one of them, else the sorted names of all splits."""


class CocoSplit(Spec):
    """One COCO JSON and the folder that its `file_name`s are relative to."""

    annotations: str = Field(min_length=1)
    """The JSON file, below `path`."""
    images: str = Field(min_length=1)
    """The folder of the images, below `path`."""


class CocoData(Spec):
    """COCO JSON files and their images."""

    kind: Literal["coco"]
    path: str = Field(min_length=1)
    """The directory. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root."""
    train: CocoSplit
    tune: CocoSplit | None = None
    """For choosing schedules; no claim or verdict uses it."""
    test: CocoSplit
    """What rows are scored on."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Some of the file's category names, in order. By default all, by ascending id."""


DataSpec = Annotated[ShapesVoc | ShapesCoco | VocData | CocoData, Field(discriminator="kind")]
