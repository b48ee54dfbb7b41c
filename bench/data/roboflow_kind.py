"""A folder of COCO splits as Roboflow exports it: COCO data whose files have fixed names. Imports nothing slow."""

from pathlib import Path
from typing import Any

from bench.data.coco_kind import CocoKind
from bench.data.dataset import Dataset
from bench.data.kind import SPLITS, Digest, FolderKind, Planned
from bench.schema.data import CocoData, CocoSplit, RoboflowData, Split

FILE = "_annotations.coco.json"
"""Beside the images of each split."""


class RoboflowKind(FolderKind[RoboflowData]):
    """Read, identified and checked as the COCO files that it is."""

    usual_classes = 80

    def __init__(self, spec: RoboflowData, root: Path) -> None:
        super().__init__(spec, root)
        self.path = spec.path
        folders = {split: getattr(spec, split) for split in SPLITS}
        parts: dict[str, Any] = {
            split: CocoSplit(annotations=f"{name}/{FILE}", images=name) for split, name in folders.items() if name
        }
        self.coco = CocoKind(CocoData(kind="coco", path=spec.path, classes=spec.classes, **parts), root)

    @property
    def title(self) -> str:
        """With the folder that is scored."""
        return f"{self.short_name} (COCO form): {self.spec.test}"

    @property
    def class_count(self) -> int | None:
        """Known where the suite selects them."""
        return self.coco.class_count

    def absent(self) -> tuple[str, ...]:
        """Files and folders of the splits."""
        return self.coco.absent()

    def unusable(self) -> str | None:
        """As of COCO files."""
        return self.coco.unusable()

    def identify(self, digest: Digest) -> None:
        """As COCO files."""
        self.coco.identify(digest)

    def planned(self, root: Path) -> Planned:
        """As COCO files."""
        return self.coco.planned(root)

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """By the reader of COCO."""
        return self.coco.read(split, cache, verify=verify)
