"""Scenes as COCO JSON: one file per split, boxes as [x, y, width, height] in px."""

import json
from pathlib import Path
from typing import Any

from bench.data.shapes.scene import Scene, class_names
from bench.schema.data import Split


class CocoWriter:
    """Collects the annotations of each split and writes them at the end; ids start at 1 within a split."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "annotations"
        self._folder.mkdir(parents=True)
        categories = [{"id": i, "name": name} for i, name in enumerate(class_names("coco"), start=1)]
        splits: tuple[Split, ...] = ("train", "tune", "test")
        self._coco: dict[Split, dict[str, list[dict[str, Any]]]] = {
            split: {"images": [], "annotations": [], "categories": categories} for split in splits
        }

    def image_path(self, split: Split, index: int) -> Path:
        """Where an image goes, below the data set's folder."""
        return Path(split) / f"{index:06d}.png"

    def add(self, split: Split, index: int, scene: Scene) -> None:
        """Note one image and its objects; `file_name` is relative to the split's folder."""
        coco, image = self._coco[split], index + 1
        height, width, _ = scene.pixels.shape
        name = self.image_path(split, index).name
        coco["images"].append({"id": image, "file_name": name, "width": width, "height": height})
        for thing in scene.objects:
            x0, y0, x1, y1 = thing.box
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": image,
                    "category_id": thing.label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": thing.area,
                    "iscrowd": int(thing.crowd),
                }
            )

    def finish(self) -> None:
        """Write `instances_<split>.json` of each split."""
        for split, coco in self._coco.items():
            (self._folder / f"instances_{split}.json").write_text(json.dumps(coco))
