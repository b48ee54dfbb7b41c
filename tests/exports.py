"""Small data sets in the shapes that public tools export: Roboflow, Ultralytics, Label Studio, labelImg, CVAT."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

NAMES = ("bolt", "nut")
COUNTS = {"train": 6, "valid": 2, "test": 3}
ROBOFLOW_YAML = """train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['bolt', 'nut']

roboflow:
  workspace: parts
  project: bolts
  version: 1
  license: CC BY 4.0
  url: https://universe.example/parts/bolts/dataset/1
"""


def picture(path: Path, number: int) -> None:
    """80 x 60 px, another one for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((80, 60), 20 + number).convert("RGB").save(path)


def _names(split: str) -> list[str]:
    return [f"{split}{n}_jpg.rf.{n:032x}" for n in range(COUNTS[split])]


def roboflow_coco(folder: Path) -> Path:
    """With the root category, ids from 0 and the extra keys of such exports."""
    for split in COUNTS:
        images, annotations = [], []
        for n, name in enumerate(_names(split)):
            picture(folder / split / f"{name}.jpg", n + 10 * len(split))
            images.append({"id": n, "license": 1, "file_name": f"{name}.jpg", "height": 60, "width": 80,
                           "date_captured": "2024-01-01T00:00:00", "extra": {"name": f"{split}{n}.jpg"}})  # fmt: skip
            for k in (1, 2):
                box = [5 * k + 0.5, 10, 20, 30]
                annotations.append({"id": len(annotations), "image_id": n, "category_id": k, "bbox": box,
                                    "area": 600, "segmentation": [], "iscrowd": 0})  # fmt: skip
        categories = [{"id": 0, "name": "parts", "supercategory": "none"}]
        categories += [{"id": k, "name": name, "supercategory": "parts"} for k, name in enumerate(NAMES, start=1)]
        content = {"info": {"year": "2024"}, "licenses": [], "categories": categories, "images": images,
                   "annotations": annotations}  # fmt: skip
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    (folder / "README.roboflow.txt").write_text("exported")
    return folder


def roboflow_yolo(folder: Path) -> Path:
    """`data.yaml` with `../train/images`, which means the folder of the file."""
    for split in COUNTS:
        for n, name in enumerate(_names(split)):
            picture(folder / split / "images" / f"{name}.jpg", n + 10 * len(split))
            _label(folder / split / "labels" / f"{name}.txt", "0 0.25 0.4 0.25 0.5\n1 0.375 0.4 0.25 0.5\n")
    (folder / "data.yaml").write_text(ROBOFLOW_YAML)
    return folder


def ultralytics(folder: Path) -> Path:
    """`images/train`, `labels/train`, names by number, no test split; a polygon, and an image without labels."""
    for split in ("train", "valid"):
        name = {"valid": "val"}.get(split, split)
        for n in range(COUNTS[split]):
            picture(folder / "images" / name / f"{n:06d}.jpg", n + 10 * len(split))
            if n != 5:
                lines = "0 0.25 0.4 0.25 0.5\n1 0.25 0.15 0.5 0.15 0.5 0.65 0.25 0.65\n"
                _label(folder / "labels" / name / f"{n:06d}.txt", lines)
    names = "".join(f"  {k}: {name}\n" for k, name in enumerate(NAMES))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\ntest:\nnames:\n{names}")
    return folder


def _label(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def labelimg(folder: Path) -> Path:
    """A VOC folder without `ImageSets`; the files name where the images lay on the annotator's machine."""
    for n in range(8):
        picture(folder / "JPEGImages" / f"p{n}.jpg", n)
        objects = "".join(
            f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
            f"<bndbox><xmin>{5 + 9 * k}</xmin><ymin>11</ymin><xmax>{40 + 9 * k}</xmax><ymax>50</ymax></bndbox></object>"
            for k, name in enumerate(NAMES)
        )
        _label(
            folder / "Annotations" / f"p{n}.xml",
            f"<annotation><folder>x</folder><filename>p{n}.jpg</filename><path>/home/me/p{n}.jpg</path><source>"
            "<database>Unknown</database></source><size><width>80</width><height>60</height><depth>3</depth></size>"
            f"<segmented>0</segmented>{objects}</annotation>",
        )
    return folder


def cvat_coco(folder: Path) -> Path:
    """`annotations/instances_*.json` and `images/*`, as CVAT and COCO itself lay them out."""
    for split, count in (("train", 6), ("val", 3)):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for n in range(1, count + 1):
            picture(folder / "images" / split / f"{n}.png", n + 10 * len(split))
            images.append({"id": n, "width": 80, "height": 60, "file_name": f"{n}.png", "license": 0,
                           "flickr_url": "", "coco_url": "", "date_captured": 0})  # fmt: skip
            for k in (1, 2):
                annotations.append({"id": 2 * n + k, "image_id": n, "category_id": k, "segmentation": [], "area": 600.0,
                                    "bbox": [5.0 * k, 10.0, 20.0, 30.0], "iscrowd": 0,
                                    "attributes": {"occluded": False}})  # fmt: skip
        categories = [{"id": k, "name": name, "supercategory": ""} for k, name in enumerate(NAMES, start=1)]
        content = {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {}, "categories": categories,
                   "images": images, "annotations": annotations}  # fmt: skip
        path = folder / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


ALL = {export.__name__: export for export in (roboflow_coco, roboflow_yolo, ultralytics, labelimg, cvat_coco)}
