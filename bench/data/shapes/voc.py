"""Scenes as a VOC directory: 1-based corners, both included in the box."""

from pathlib import Path

from bench.data.shapes.scene import Scene, SceneObject, class_names
from bench.schema.data import Split


class VocWriter:
    """Writes one XML per scene, and the lists of the splits at the end."""

    def __init__(self, folder: Path) -> None:
        self._annotations = folder / "Annotations"
        self._lists = folder / "ImageSets" / "Main"
        self._names: dict[Split, list[str]] = {"train": [], "tune": [], "test": []}
        for path in (self._annotations, self._lists):
            path.mkdir(parents=True)

    def image_path(self, split: Split, index: int) -> Path:
        """Where an image goes, below the data set's folder."""
        return Path("JPEGImages") / f"{split}_{index:06d}.png"

    def add(self, split: Split, index: int, scene: Scene) -> None:
        """Write the XML of one scene."""
        image = self.image_path(split, index)
        height, width, depth = scene.pixels.shape
        size = f"<size><width>{width}</width><height>{height}</height><depth>{depth}</depth></size>"
        objects = "".join(f"  {_object(thing, width, height)}\n" for thing in scene.objects)
        (self._annotations / f"{image.stem}.xml").write_text(
            f"<annotation>\n  <folder>Shapes</folder>\n  <filename>{image.name}</filename>\n"
            f"  {size}\n  <segmented>0</segmented>\n{objects}</annotation>\n"
        )
        self._names[split].append(image.stem)

    def finish(self) -> None:
        """Write the list of each split; that of an empty split is an empty file."""
        for split, names in self._names.items():
            (self._lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def _object(thing: SceneObject, width: int, height: int) -> str:
    x0, y0, x1, y1 = thing.box
    truncated = x0 == 0 or y0 == 0 or x1 == width or y1 == height
    return (
        f"<object><name>{class_names('voc')[thing.label]}</name><pose>Unspecified</pose>"
        f"<truncated>{int(truncated)}</truncated><difficult>{int(thing.difficult)}</difficult>"
        f"<bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        "</object>"
    )
