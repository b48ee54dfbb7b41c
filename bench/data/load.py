"""One entry for all kinds of data. A new kind is its specification in `bench.schema.data`, a class, and a line here."""

from pathlib import Path
from typing import Any

from bench.data.coco_kind import CocoKind
from bench.data.dataset import Dataset
from bench.data.kind import DataKind, Digest, FolderKind, Planned
from bench.data.pins.remedy import remedy
from bench.data.roboflow_kind import RoboflowKind
from bench.data.shapes_kind import ShapesCocoKind, ShapesVocKind
from bench.data.voc_kind import VocKind
from bench.data.yolo_kind import YoloKind
from bench.errors import BenchError
from bench.schema.base import Spec
from bench.schema.data import CocoData, DataSpec, RoboflowData, ShapesCoco, ShapesVoc, Split, VocData, YoloData

KINDS: dict[type[Spec], type[DataKind[Any]]] = {
    ShapesVoc: ShapesVocKind,
    ShapesCoco: ShapesCocoKind,
    VocData: VocKind,
    CocoData: CocoKind,
    RoboflowData: RoboflowKind,
    YoloData: YoloKind,
}
"""By the type of the specification."""


def kind_of(spec: DataSpec, root: Path) -> DataKind[Any]:
    """What can be asked of the data that a specification names; relative paths start at `root`."""
    return KINDS[type(spec)](spec, root)


def load(spec: DataSpec, split: Split, root: Path, cache: Path, *, verify: bool = False) -> Dataset:
    """Read one split of any data set.

    Shapes are written below `cache`, once, and read back by the same readers as a user's data. Of a user's data each
    image is decoded, once, so that one that is cut off is left out before anything trains; whoever asks to `verify`
    probes every image of a large COCO split too, and decodes them himself.
    Raises UsageError and BenchError as `read_voc`, `read_coco` and `expand` do.
    """
    kind = kind_of(spec, root)
    data = kind.read(split, cache, verify=verify)
    if verify or not isinstance(kind, FolderKind):
        return data
    from bench.data.decoded import without_damaged

    return without_damaged(data, root)


def absent_data(spec: DataSpec, root: Path) -> tuple[str, ...]:
    """What of the data is not on the disk, each file by name; nothing of the data is read.

    Raises UsageError for an unset variable in a path.
    """
    return kind_of(spec, root).absent()


def remedy_of(spec: DataSpec, root: Path, absent: tuple[str, ...]) -> str | None:
    """What brings the data of which `absent_data` said these lines; None where it is not known."""
    kind = kind_of(spec, root)
    return remedy(kind.path, absent, root) if absent and isinstance(kind, FolderKind) else None


def unusable_data(spec: DataSpec, root: Path) -> str | None:
    """Why nothing of a split can be read although its files are there; None where something can."""
    try:
        return kind_of(spec, root).unusable()
    except BenchError as error:
        return str(error)


def fingerprint(spec: DataSpec, root: Path) -> str:
    """`sha256:` and 64 digits that identify a data set wherever it lies; quick, as no pixel is read.

    The suite's own choices (`difficult`, `classes`) are not part of a user's data: they stand in the protocol. An
    image or annotation file that is absent is hashed as absent, since the readers go on without it. `data verify`
    hashes the images themselves.
    Raises BenchError for an absent folder, split list or JSON file, UsageError for an unset variable.
    """
    digest = Digest()
    kind_of(spec, root).identify(digest)
    return digest.pin()


def planned_data(spec: DataSpec, root: Path) -> Planned:
    """As `fingerprint`, but large files that have not changed since an earlier planning are not read again."""
    return kind_of(spec, root).planned(root)
