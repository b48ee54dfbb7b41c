"""Predictions as other tools write them, and what is said of those that are probably a mistake."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from factories import NAME, located, suite_data
from PIL import Image

from bench.cli.main import main

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
GT: dict[str, Any] = {
    "images": [
        {"id": 3, "file_name": "000017.jpg", "width": 64, "height": 48},
        {"id": 5, "file_name": "sub/b.jpg", "width": 64, "height": 48},
    ],
    "annotations": [
        {"image_id": 3, "category_id": 2, "bbox": [24, 15, 20, 30]},
        {"image_id": 5, "category_id": 7, "bbox": [30, 2, 34, 16]},
    ],
    "categories": [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}],
}
BOXES = ([24, 15, 20, 30], [30, 2, 34, 16])
Capture = pytest.CaptureFixture[str]


def rows(*spelt: dict[str, Any]) -> list[dict[str, Any]]:
    """Two right detections, each with the fields of one of the two."""
    return [{"score": 0.9, **one} for one in spelt]


def corners(box: list[int]) -> list[int]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def by(keys: tuple[str, ...], box: list[int]) -> dict[str, int]:
    return dict(zip(keys, corners(box), strict=True))


HF, SV = ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max")
WRITTEN = {
    "mmdetection, detectron2, RF-DETR": rows(
        {"image_id": 3, "category_id": 2, "bbox": BOXES[0]}, {"image_id": 5, "category_id": 7, "bbox": BOXES[1]}
    ),
    "detectron2 with masks": rows(
        {"image_id": 3, "category_id": 2, "bbox": BOXES[0], "segmentation": {"size": [48, 64], "counts": "x"}},
        {"image_id": 5, "category_id": 7, "bbox": BOXES[1], "segmentation": {}},
    ),
    "Ultralytics, stems": rows(
        {"image_id": "000017", "category_id": 2, "bbox": BOXES[0]},
        {"image_id": "b", "category_id": 7, "bbox": BOXES[1]},
    ),
    "Ultralytics, a stem that is a number and the file": rows(
        {"image_id": 17, "file_name": "000017.jpg", "category_id": 2, "bbox": BOXES[0]},
        {"image_id": "b", "file_name": "b.jpg", "category_id": 7, "bbox": BOXES[1]},
    ),
    "paths of another machine": rows(
        {"file_name": "/data/coco/000017.jpg", "label": "cat", "bbox": BOXES[0]},
        {"file_name": "C:\\me\\b.jpg", "label": "dog", "bbox": BOXES[1]},
    ),
    "ids as floats": rows(
        {"image_id": 3.0, "category_id": 2.0, "bbox": BOXES[0]}, {"image_id": 5.0, "category_id": 7, "bbox": BOXES[1]}
    ),
    "Hugging Face": rows(
        {"file_name": "000017.jpg", "label": "cat", "box": by(HF, BOXES[0])},
        {"image_id": 5, "label": "dog", "box": by(HF, BOXES[1])},
    ),
    "supervision": [
        {"file_name": "000017.jpg", "class_id": 0, "class_name": "cat", "confidence": 0.9, **by(SV, BOXES[0])},
        {"file_name": "sub/b.jpg", "class_id": 1, "class_name": "dog", "confidence": 0.9, **by(SV, BOXES[1])},
    ],
    "a label beside the id": rows(
        {"image_id": 3, "category_id": 2, "label": 0, "bbox": BOXES[0]},
        {"image_id": 5, "category_id": 7, "label": 1, "bbox": BOXES[1]},
    ),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite over `gt.json`."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for image in GT["images"]:
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / image["file_name"])
    (tmp_path / "gt.json").write_text(json.dumps(GT))
    data, part = suite_data(), {"annotations": "gt.json", "images": "images"}
    coco = {"kind": "coco", "path": str(tmp_path), "train": part, "test": part}
    data["tiers"]["mini"] |= {"data": coco, "metric": {"variant": "coco"}}
    located(tmp_path, data)
    return tmp_path


def both(root: Path, capsys: Capture, detections: Any, *options: str, code: int = 0) -> list[tuple[Any, str]]:
    """AP and standard error of `score` and of `submit`."""
    dt = root / "dt.json"
    dt.write_text(json.dumps(detections))
    found = []
    commands = (["score", "--gt", str(root / "gt.json")], ["submit", NAME, "hardet", "--replace"])
    for command in commands:
        assert main(["--root", str(root), *command, "--dt", str(dt), "--json", *options]) == code
        said = capsys.readouterr()
        found.append((json.loads(said.out)["metrics"]["AP"] if code == 0 else None, said.err))
    return found


@pytest.mark.parametrize("tool", list(WRITTEN))
def test_what_tools_write(root: Path, capsys: Capture, tool: str) -> None:
    for ap, warnings in both(root, capsys, WRITTEN[tool]):
        assert (ap, warnings) == (pytest.approx(1), "")


def test_corners_that_are_declared(root: Path, capsys: Capture) -> None:
    plain = WRITTEN["mmdetection, detectron2, RF-DETR"]
    found = [{**one, "bbox": corners(one["bbox"])} for one in plain]
    for ap, warnings in both(root, capsys, found, "--boxes", "xyxy"):
        assert (ap, warnings) == (pytest.approx(1), "")
    for ap, warnings in both(root, capsys, found):
        assert ap < 0.5 and "2 of 2 boxes end outside of their image; --boxes xyxy" in warnings
    for _, error in both(root, capsys, plain, "--boxes", "xyxy", code=2):
        assert "detection 0: its second corner (20, 30) lies before its first (24, 15)" in error


def test_unknown_ones_are_refused_or_counted(root: Path, capsys: Capture) -> None:
    plain = WRITTEN["mmdetection, detectron2, RF-DETR"]
    found = [plain[0], {**plain[0], "category_id": 90}, {**plain[1], "category_id": 90}, {**plain[1], "image_id": 99}]
    found.append(plain[1])
    for _, error in both(root, capsys, found, code=2):
        assert "dt.json: detection 1: category_id 90 is not in" in error and "(ids 2 to 7)" in error
        assert error.endswith("--ignore-unknown leaves such detections out\n")
    for ap, warnings in both(root, capsys, found, "--ignore-unknown"):
        assert ap == pytest.approx(1)
        assert "2 left out: category_id 90 is not in" in warnings and "1 left out: image_id 99 is not in" in warnings


def test_classes_that_are_counted_from_another_number(root: Path, capsys: Capture) -> None:
    (plain, _) = WRITTEN["mmdetection, detectron2, RF-DETR"]
    for _, error in both(root, capsys, [{**plain, "category_id": 0}], code=2):
        assert "category_id 0 is not in" in error and "are the file's classes counted from 0?" in error
    for _, warnings in both(root, capsys, [plain, {**plain, "category_id": 0}], "--ignore-unknown"):
        assert "1 left out: category_id 0" in warnings and "counted from 0?" in warnings


@pytest.mark.parametrize("named", [{"image_id": 5}, {"image_id": "b"}, {"file_name": "sub/b.jpg"}, {"file_name": "b"}])
def test_an_image_that_is_absent_on_disk(root: Path, capsys: Capture, named: dict[str, Any]) -> None:
    (root / "images" / "sub" / "b.jpg").unlink()
    dt = root / "dt.json"
    dt.write_text(json.dumps(rows({"category_id": 7, "bbox": BOXES[1], **named})))
    assert main(["--root", str(root), "submit", NAME, "hardet", "--dt", str(dt)]) == 2
    assert "detection 0: image 5 is listed but absent on disk (sub/b.jpg)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": 90}, "2 of 2 scores lie outside 0 to 1"),
        ({"bbox": [0.1, 0.1, 0.5, 0.5]}, "every box lies within 1 px"),
        ({"bbox": [30, 30, 60, 47]}, "2 of 2 boxes end outside of their image"),
    ],
)
def test_doubts(root: Path, capsys: Capture, change: dict[str, Any], words: str) -> None:
    found = [{**one, **change} for one in WRITTEN["mmdetection, detectron2, RF-DETR"]]
    for _, warnings in both(root, capsys, found):
        assert words in warnings


def test_doubts_of_the_ground_truth(root: Path, capsys: Capture) -> None:
    content = json.loads((root / "gt.json").read_text())
    for annotation in content["annotations"]:
        annotation["area"] = 9000
    (root / "gt.json").write_text(json.dumps(content))
    for _, warnings in both(root, capsys, WRITTEN["mmdetection, detectron2, RF-DETR"]):
        assert warnings.count("\n") == 1 and "area-mismatch, 2: annotation" in warnings


def test_compare_reads_the_same(root: Path, capsys: Capture) -> None:
    names = []
    for number, tool in enumerate(("Ultralytics, stems", "supervision")):
        names.append(root / f"{number}.json")
        names[-1].write_text(json.dumps(WRITTEN[tool]))
    assert main(["compare", *map(str, names), "--gt", str(root / "gt.json"), "--replicates", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]["AP"]
    assert (found["a"], found["b"], found["difference"]) == (pytest.approx(1), pytest.approx(1), 0)


CASES = {
    "d12_ultralytics_string_image_id": None,
    "a03_float_ids": None,
    "a06_nulls": None,
    "a07_no_annotation_ids": None,
    "z01_zero_height_gt_score_vs_submit": None,
    "f09_missing_images": "is listed but absent on disk",
    "d03_unknown_category_91_classes": "--ignore-unknown",
    "b11_nan_bbox_in_gt": "holds NaN; only finite numbers are allowed, see .annotations[",
}


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="QDET_SHARED names no folder with the cases")
@pytest.mark.parametrize("case", list(CASES))
def test_cases_after_public_reports(case: str, tmp_path: Path, capsys: Capture) -> None:
    """`score` and `submit` say the same of a file: one number, or why there is none."""
    folder = tmp_path / case
    shutil.copytree(SHARED / "cases" / "data" / case, folder, copy_function=shutil.copyfile)
    files = ("--dt", str(folder / "dt.json"))
    commands = (
        ["score", "--gt", str(folder / "gt.json"), *files, "--json"],
        ["--root", str(folder / "root"), "submit", "x", "fp", *files, "--json"],
    )
    codes, said = [], []
    for command in commands:
        codes.append(main(command))
        said.append(capsys.readouterr())
    expected = CASES[case]
    if expected is None:
        assert codes == [0, 0]
        assert json.loads(said[0].out)["metrics"] == json.loads(said[1].out)["metrics"]
    else:
        # Whether an image is on the disk only `submit` can know.
        assert codes[1] == 2 and expected in said[1].err and said[1].err.count("\n") == 1
        assert codes[0] == (0 if case.startswith("f09") else 2)
