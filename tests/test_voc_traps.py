"""What HQOD and mmdet make of the same VOC files, against mmdet's own reader, and how long HQOD's VOC schedule is."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.data.voc import VOC_CLASSES, read_voc
from bench.detectors.compat import load_mmdet
from bench.detectors.pipeline import data_list
from bench.engine.rate import in_steps
from bench.evaluation.coco import score_coco
from bench.schema.data import VocData
from bench.schema.recipe import Recipe

BOXES = {
    "dog": ("11 21 110 90", 0),
    "cat": ("1 1 200 150", 1),
    "cow": ("5 5 36 80", 0),  # 31 px wide without the +1 of inclusive corners, 32 with it
    "sheep": ("5 5 37 37", 0),  # 32 px
    "bus": ("50 50 60 60", 1),
}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """One image of 200 x 150 px with boxes large, small and difficult."""
    folder = tmp_path / "VOC2007"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (200, 150)).save(folder / "JPEGImages" / "a.jpg")
    (folder / "ImageSets/Main/trainval.txt").write_text("a\n")
    objects = []
    for name, (corners, difficult) in BOXES.items():
        tags = zip(("xmin", "ymin", "xmax", "ymax"), corners.split(), strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
        objects.append(f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>")
    size = "<size><width>200</width><height>150</height><depth>3</depth></size>"
    xml = f"<annotation><filename>a.jpg</filename>{size}{''.join(objects)}</annotation>"
    (folder / "Annotations" / "a.xml").write_text(xml)
    return tmp_path


def ours(voc: Path, **rules: Any) -> list[tuple[list[float], int, int]]:
    spec = VocData(kind="voc", path="x", train=("VOC2007/trainval",), test=("VOC2007/trainval",), **rules)
    (image,) = data_list(read_voc(spec, "train", voc))
    return [(list(i["bbox"]), i["bbox_label"], i["ignore_flag"]) for i in image["instances"]]


def mmdets(voc: Path, filter_cfg: dict[str, Any]) -> list[tuple[list[float], int, int]]:
    load_mmdet()
    from mmdet.datasets import VOCDataset

    dataset = VOCDataset(
        data_root=f"{voc}/",
        ann_file="VOC2007/ImageSets/Main/trainval.txt",
        data_prefix=dict(sub_data_root="VOC2007/"),
        filter_cfg=filter_cfg,
        pipeline=[],
    )
    assert dataset.metainfo["classes"] == VOC_CLASSES
    return [(i["bbox"], i["bbox_label"], i["ignore_flag"]) for i in dataset.get_data_info(0)["instances"]]


@pytest.mark.parametrize("min_side", [0, 32])
def test_training_boxes_are_mmdets(voc: Path, min_side: int) -> None:
    """Corners minus 1, difficult ignored; mmdet's voc0712.py also ignores boxes under 32 px, HQOD does not."""
    filter_cfg = dict(filter_empty_gt=True, min_size=32) | ({"bbox_min_size": min_side} if min_side else {})
    found = ours(voc, difficult="crowd", min_side=min_side)
    assert found == mmdets(voc, filter_cfg)
    assert [flag for _, _, flag in found] == ([0, 1, 1, 0, 1] if min_side else [0, 1, 0, 0, 1])


def test_the_size_rule_takes_nothing_from_scoring(voc: Path) -> None:
    spec = VocData(
        kind="voc", path="x", train=("VOC2007/trainval",), test=("VOC2007/trainval",), difficult="crowd", min_side=32
    )
    coco = read_voc(spec, "test", voc).coco
    assert [a["iscrowd"] for a in coco["annotations"]] == [0, 1, 0, 0, 1]
    assert sum(a.get("train_ignore", 0) for a in coco["annotations"]) == 2  # cow and bus
    # All three ordinary boxes found: recall 1; without the one under 32 px it is two classes of three.
    hits = [
        {"image_id": 1, "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
        for a in coco["annotations"]
        if not a["iscrowd"]
    ]
    assert score_coco(coco, hits).metrics["AR100"] == pytest.approx(1)
    kept = [hit for hit in hits if hit["category_id"] != VOC_CLASSES.index("cow") + 1]
    assert score_coco(coco, kept).metrics["AR100"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("difficult", "ap"), [("crowd", 1.0), ("drop", 1.0), ("count", 0.6)])
def test_what_a_missed_difficult_box_costs(voc: Path, difficult: str, ap: float) -> None:
    """Three ordinary objects found, two difficult ones of other classes missed."""
    rules: Any = {"difficult": difficult}
    spec = VocData(kind="voc", path="x", train=("VOC2007/trainval",), test=("VOC2007/trainval",), **rules)
    coco = read_voc(spec, "test", voc).coco
    hits = [
        {"image_id": 1, "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
        for a in coco["annotations"]
        if not a["difficult"]
    ]
    assert score_coco(coco, hits).metrics["AP"] == pytest.approx(ap)


def test_ignore_of_a_coco_file_is_overwritten() -> None:
    """pycocotools sets `ignore` to `iscrowd`: a missed object with `ignore: 1` costs as any other."""
    box = {"image_id": 1, "category_id": 1, "area": 400, "iscrowd": 0}
    annotations = [
        {**box, "id": 1, "bbox": [10, 10, 20, 20]},
        {**box, "id": 2, "bbox": [60, 60, 20, 20], "ignore": 1},
    ]
    coco = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": annotations}
    hit = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9}]
    assert score_coco(coco, hit).metrics["AR100"] == pytest.approx(0.5)
    annotations[1]["iscrowd"] = 1
    assert score_coco(coco, hit).metrics["AR100"] == pytest.approx(1)


def test_repeat_dataset_makes_forty_eight_passes_of_sixteen_epochs() -> None:
    """VOC 07+12 trainval has 5,011 + 11,540 images; HQOD: RepeatDataset x 3, batch 16."""
    recipe: dict[str, Any] = {
        "unit": "epoch",
        "length": 16,
        "batch": 16,
        "decay": {"kind": "constant"},
        "optimizer": {"kind": "sgd", "lr": 0.01, "weight_decay": 0.0001, "momentum": 0.9},
    }
    images = 5011 + 11540
    repeated = in_steps(Recipe.model_validate(recipe | {"repeat": 3}), images).total
    once = in_steps(Recipe.model_validate(recipe | {"length": 48}), images).total
    assert repeated * 16 == pytest.approx(48 * images, rel=0.001)
    assert repeated == pytest.approx(once, rel=0.001)
