"""COCO panoptic: boxes of segments, by the reader that reads every COCO file."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.cli.main import main
from bench.data.load import load
from bench.detectors.pipeline import data_list
from bench.errors import UsageError
from bench.evaluation.files import read_ground_truth
from bench.schema.data import CocoData, CocoSplit

CONTENT: dict[str, Any] = {
    "info": {},
    "licenses": [],
    "images": [{"id": n, "file_name": f"{n:012}.png", "width": 64, "height": 48} for n in (9, 4)],
    "annotations": [
        {"image_id": 9, "file_name": "000000000009.seg.png", "segments_info": [
            {"id": 3226956, "category_id": 1, "area": 300, "bbox": [1, 2, 30, 20], "iscrowd": 0},
            {"id": 77, "category_id": 200, "area": 900, "bbox": [0, 0, 64, 24], "iscrowd": 0},
            {"id": 78, "category_id": 1, "area": 50, "bbox": [40, 30, 20, 10], "iscrowd": 1}]},
        {"image_id": 4, "file_name": "000000000004.seg.png", "segments_info": [
            {"id": 77, "category_id": 187, "area": 64, "bbox": [0, 0, 64, 1], "iscrowd": 0}]},
    ],
    "categories": [
        {"id": 1, "name": "person", "supercategory": "person", "isthing": 1, "color": [220, 20, 60]},
        {"id": 187, "name": "sky-other-merged", "supercategory": "sky", "isthing": 0, "color": [70, 130, 180]},
        {"id": 200, "name": "rug-merged", "supercategory": "textile", "isthing": 0, "color": [250, 141, 255]},
    ],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for image in CONTENT["images"]:
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / image["file_name"])
    (tmp_path / "panoptic.json").write_text(json.dumps(CONTENT))
    return tmp_path


def test_segments_become_objects(folder: Path) -> None:
    part = CocoSplit(annotations="panoptic.json", images="images")
    spec = CocoData(kind="coco", path=str(folder), train=part, test=part)
    dataset = load(spec, "test", folder, folder / "cache")
    assert dataset.classes == ("person", "sky-other-merged", "rug-merged") and not dataset.problems
    found = [
        (a["id"], a["image_id"], a["category_id"], a["bbox"], a["area"], a["iscrowd"])
        for a in dataset.coco["annotations"]
    ]
    assert found == [
        (1, 9, 1, [1, 2, 30, 20], 300, 0),
        (2, 9, 200, [0, 0, 64, 24], 900, 0),
        (3, 9, 1, [40, 30, 20, 10], 50, 1),
        (4, 4, 187, [0, 0, 64, 1], 64, 0),
    ]
    targets = {
        item["img_id"]: [(one["bbox_label"], one["ignore_flag"]) for one in item["instances"]]
        for item in data_list(dataset)
    }
    assert targets == {9: [(0, 0), (2, 0), (0, 1)], 4: [(1, 0)]}, "things and stuff are targets, crowds are ignored"
    things = load(spec.model_copy(update={"classes": ("person",)}), "test", folder, folder / "cache")
    assert len(things.coco["annotations"]) == 2 and len(things.coco["images"]) == 2


def test_it_is_scored_with_its_super_categories(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detections = [
        {"image_id": 9, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 0.9},
        {"image_id": 4, "category_id": 187, "bbox": [0, 20, 64, 1], "score": 0.8},
    ]
    (folder / "dt.json").write_text(json.dumps(detections))
    files = ["--gt", str(folder / "panoptic.json"), "--dt", str(folder / "dt.json")]
    assert (
        main(["score", *files, "--critical", "person", "--critical", "stuff=sky-other-merged,rug-merged", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (
        found["groups"]["person"]["metrics"]["AP"] == pytest.approx(1)
        and found["groups"]["stuff"]["metrics"]["AP"] == 0
    )
    assert found["images"] == {"person": 1, "sky-other-merged": 1, "rug-merged": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["annotations"][1].pop("segments_info"), "annotation 1: has no segments_info"),
        (lambda c: c["annotations"][0].pop("image_id"), "annotation 0: has no image_id"),
        (lambda c: c["annotations"][0].update(segments_info={}), "annotation 0, segments must be a list"),
        (lambda c: c["annotations"][0]["segments_info"].append(3), "segment 3: is the number 3, not an object"),
        (lambda c: c["annotations"][1]["segments_info"][0].pop("bbox"), "annotation 1, segment 0: has no bbox"),
        (lambda c: c["annotations"][1]["segments_info"][0].update(area="x"), "segment 0: area must be a number"),
    ],
)  # fmt: skip
def test_a_fault_names_its_segment(tmp_path: Path, change: Any, words: str) -> None:
    content = json.loads(json.dumps(CONTENT))
    change(content)
    path = tmp_path / "panoptic.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=words):
        read_ground_truth(path)


def test_what_is_useless_is_reported(tmp_path: Path) -> None:
    content = json.loads(json.dumps(CONTENT))
    content["annotations"][1]["image_id"] = 5
    content["annotations"][0]["segments_info"][1]["category_id"] = 201
    path = tmp_path / "panoptic.json"
    path.write_text(json.dumps(content))
    kinds = [(problem.kind, problem.where) for problem in read_ground_truth(path).problems]
    assert kinds == [
        ("unknown-category", "panoptic.json annotation 2"),
        ("unknown-image", "panoptic.json annotation 4"),
    ]
