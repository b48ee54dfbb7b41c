"""Data sets as a suite declares them: Shapes (generated), any VOC directory, COCO JSON, Roboflow export or YOLO folder.

A path may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root
(`--root`, else the working directory).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class HeldOut(Spec):
    """A rule that splits a directory without lists: by a hash of each image's id, so the same on every machine."""

    test: float = Field(gt=0, lt=1)
    """Share of the images that rows are scored on; one image at least."""
    tune: float = Field(default=0.0, ge=0, lt=1)
    """Share of the images for choosing schedules, which no claim or verdict uses."""
    seed: int = Field(default=0, ge=0)
    """Another one gives other images."""

    @model_validator(mode="after")
    def _leaves_some(self) -> "HeldOut":
        if self.test + self.tune >= 1:
            raise ValueError(f"test {self.test:g} and tune {self.tune:g} leave nothing to train on")
        return self


class VocData(VocRules):
    """A VOC directory: `JPEGImages/`, `Annotations/`, and `ImageSets/Main/` or a rule that splits it."""

    kind: Literal["voc"]
    path: str = Field(min_length=1)
    """The directory. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root."""
    train: tuple[str, ...] = ()
    """Splits such as `trainval`, or `VOC2007/trainval` if `path` contains several VOC directories."""
    tune: tuple[str, ...] = ()
    """Splits for choosing schedules, which no claim or verdict uses."""
    test: tuple[str, ...] = ()
    """Splits that rows are scored on."""
    split: HeldOut | None = None
    """In place of `train`, `tune` and `test`: a rule that splits all annotated images, where there are no lists."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The classes in order. By default VOC's 20 if every name is one of them, else the sorted names of all splits."""

    @model_validator(mode="after")
    def _split_once(self) -> "VocData":
        if self.split is not None and (self.train or self.tune or self.test):
            raise ValueError("`split` takes the place of train, tune and test; leave those out")
        if self.split is None and not (self.train and self.test):
            lacking = "train" if not self.train else "test"
            raise ValueError(f"{lacking} names no split list; without lists write `split: {{test: 0.2, seed: 0}}`")
        return self


class CocoSplit(Spec):
    """One COCO JSON and the folder that its `file_name`s are relative to."""

    annotations: str = Field(min_length=1)
    """The JSON file, below `path`."""
    images: str = Field(min_length=1)
    """The folder of the images, below `path`."""


class FromTrain(Spec):
    """Training images that are set aside, the first by a hash of their ids, so the same on every machine."""

    images: int = Field(ge=1)
    """How many."""
    seed: int = Field(default=0, ge=0)
    """Another one sets other images aside."""


class CocoData(Spec):
    """COCO JSON files and their images."""

    kind: Literal["coco"]
    path: str = Field(min_length=1)
    """The directory. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root."""
    train: CocoSplit
    tune: CocoSplit | None = None
    """For choosing schedules; no claim or verdict uses it."""
    tune_from_train: FromTrain | None = None
    """In place of `tune`: training images that become the tune split, and are no longer trained or calibrated on."""
    test: CocoSplit
    """What rows are scored on."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Some of the file's category names, in order. By default all, by ascending id."""

    @model_validator(mode="after")
    def _one_tune_split(self) -> "CocoData":
        if self.tune is not None and self.tune_from_train is not None:
            raise ValueError("`tune_from_train` takes the place of `tune`; leave one of them out")
        return self


class RoboflowData(Spec):
    """A folder of COCO splits as Roboflow exports it: `train/_annotations.coco.json` beside its images, and so on."""

    kind: Literal["roboflow"]
    path: str = Field(min_length=1)
    """The folder. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root."""
    train: str = Field(default="train", min_length=1)
    """The folder of the training split, below `path`."""
    tune: str | None = Field(default=None, min_length=1)
    """The folder for choosing schedules, often `valid`; no claim or verdict uses it."""
    test: str = Field(default="test", min_length=1)
    """The folder that rows are scored on."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Some of the category names, in order. By default all of the training split, by ascending id."""


class YoloData(Spec):
    """A YOLO data set: `data.yaml`, images, and for each image a file of `class x y w h` in fractions."""

    kind: Literal["yolo"]
    path: str = Field(min_length=1)
    """The folder. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts at the root."""
    file: str = Field(default="data.yaml", min_length=1)
    """The YAML file with `names`, and a folder or list of images for each split; below `path`."""
    train: str = Field(default="train", min_length=1)
    """The key of the training split in that file."""
    tune: str | None = Field(default=None, min_length=1)
    """The key of the split for choosing schedules; no claim or verdict uses it."""
    test: str = Field(default="val", min_length=1)
    """The key of the split that rows are scored on."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Some of the names, in order. By default all, in the file's order."""


DataSpec = Annotated[ShapesVoc | ShapesCoco | VocData | CocoData | RoboflowData | YoloData, Field(discriminator="kind")]


def has_tune(data: DataSpec) -> bool:
    """Whether a data set has a tune split."""
    if isinstance(data, ShapesBase):
        return data.images.tune > 0
    if isinstance(data, VocData) and data.split is not None:
        return data.split.tune > 0
    return bool(data.tune or (isinstance(data, CocoData) and data.tune_from_train))
