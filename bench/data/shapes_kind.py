"""Shapes as data sets: generated below a cache, once, and read back by the readers of VOC and COCO."""

from pathlib import Path
from typing import TypeVar

from bench.data import shapes
from bench.data.dataset import Dataset
from bench.data.kind import SPLITS, DataKind, Digest
from bench.errors import UsageError
from bench.schema.data import CocoData, CocoSplit, ShapesCoco, ShapesVoc, Split, VocData, VocRules

S = TypeVar("S", ShapesVoc, ShapesCoco)


class ShapesKind(DataKind[S]):
    """Identified by its fields and the generator's version, since those determine every pixel."""

    form: str

    @property
    def name(self) -> str:
        """The folder's name below the cache."""
        return shapes.folder_name(self.spec)

    @property
    def title(self) -> str:
        """Generated drawings are always called so."""
        return f"Shapes-{self.form} (generated drawings, {self.spec.side} px)"

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those with images."""
        return tuple(split for split in SPLITS if getattr(self.spec.images, split))

    @property
    def class_count(self) -> int | None:
        """Always the same, also where a handful of scenes does not show all."""
        return self.usual_classes

    def missing(self, cache: Path) -> str | None:
        """Whether they are generated."""
        if (cache / self.name).is_dir():
            return None
        return f"not generated yet; `qdet-bench data make {self.name}` does, and so does `run`"

    def absent(self) -> tuple[str, ...]:
        """Nothing: they are generated where they are needed."""
        return ()

    def identify(self, digest: Digest) -> None:
        """Nothing is generated for it."""
        digest.add(self.spec.model_dump_json(), str(shapes.VERSION))

    def _made(self, split: Split, cache: Path) -> Path:
        """The folder of the generated files."""
        # The generator is imported where it is needed: whoever has data needs none of it.
        from bench.data.shapes.write import make

        if split not in self.splits:
            raise UsageError(f"data {self.spec.kind}: no {split} split is declared; set images.{split}")
        return make(self.spec, cache)


class ShapesVocKind(ShapesKind[ShapesVoc]):
    """Written as a VOC directory."""

    usual_classes = 20
    form = "VOC"

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """With all classes: labels must not depend on which of them a few scenes show."""
        from bench.data.shapes.classes import class_names
        from bench.data.voc import read_voc

        folder = self._made(split, cache)
        voc = VocData(
            kind="voc",
            path=folder.name,
            train=("train",),
            tune=("tune",),
            test=("test",),
            classes=class_names("voc"),
            **self.spec.model_dump(include=set(VocRules.model_fields)),
        )
        return read_voc(voc, split, folder)


class ShapesCocoKind(ShapesKind[ShapesCoco]):
    """Written as COCO JSON."""

    usual_classes = 80
    form = "COCO"

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """By the reader of COCO."""
        from bench.data.coco import read_coco

        folder = self._made(split, cache)
        train, tune, test = (CocoSplit(annotations=f"annotations/instances_{s}.json", images=s) for s in SPLITS)
        coco = CocoData(kind="coco", path=folder.name, train=train, tune=tune, test=test)
        return read_coco(coco, split, folder)
