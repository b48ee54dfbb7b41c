"""One entry for all kinds of data: a specification in, a Dataset out."""

from pathlib import Path

from bench.data.coco import read_coco
from bench.data.dataset import Dataset
from bench.data.paths import expand
from bench.data.voc import read_voc
from bench.errors import UsageError
from bench.schema.data import CocoData, CocoSplit, DataSpec, ShapesCoco, ShapesVoc, Split, VocData, VocRules


def load(spec: DataSpec, split: Split, root: Path, cache: Path, *, verify: bool = False) -> Dataset:
    """Read one split of any data set.

    Relative paths start at `root`; Shapes are written below `cache`, once, and read back by the same readers.
    `verify` probes every image of a large COCO split too.
    Raises UsageError and BenchError as `read_voc`, `read_coco` and `expand` do.
    """
    if isinstance(spec, VocData):
        return read_voc(spec, split, expand(spec.path, root))
    if isinstance(spec, CocoData):
        return read_coco(spec, split, expand(spec.path, root), verify=verify)
    if not getattr(spec.images, split):
        raise UsageError(f"data {spec.kind}: no {split} split is declared; set images.{split}")
    return _load_shapes(spec, split, cache)


def _load_shapes(spec: ShapesVoc | ShapesCoco, split: Split, cache: Path) -> Dataset:
    # The generator is imported where it is needed: whoever has data needs none of it.
    from bench.data.shapes.classes import class_names
    from bench.data.shapes.write import make

    folder = make(spec, cache)
    if isinstance(spec, ShapesVoc):
        # All classes, also those that a handful of scenes does not show: labels must not depend on it.
        rules = spec.model_dump(include=set(VocRules.model_fields))
        voc = VocData(
            kind="voc",
            path=folder.name,
            train=("train",),
            tune=("tune",),
            test=("test",),
            classes=class_names("voc"),
            **rules,
        )
        return read_voc(voc, split, folder)
    train, tune, test = (
        CocoSplit(annotations=f"annotations/instances_{name}.json", images=name) for name in ("train", "tune", "test")
    )
    coco = CocoData(kind="coco", path=folder.name, train=train, tune=tune, test=test)
    return read_coco(coco, split, folder)
