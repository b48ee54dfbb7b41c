"""Kinds of faults in users' files, after public bug reports: what is said of each, and where.

Each case changes one thing in a small data set that is right.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import bench
from PIL import Image

from bench.cli.main import main
from bench.data.load import load
from bench.data.paths import Listing
from bench.data.voc_files import held_out
from bench.errors import BenchError
from bench.records.store import Store
from bench.schema.data import HeldOut
from bench.schema.load import load_suite

BLOCKED = 3
SUITE = """
title: "a case"
rows:
  - {id: fp, label: FP, detector: retinanet-r18, bits: "32/32", recipe: fp}
tiers:
  smoke:
    data: DATA
    metric: {variant: coco}
    detectors:
      retinanet-r18:
        input: {size: [64, 64]}
        test: {batch: 4, score_threshold: 0.05, nms_iou: 0.5}
        init: {kind: scratch}
        width: 8
        neck_width: 8
    recipes:
      fp:
        {unit: step, length: 2, batch: 2, optimizer: {kind: sgd, lr: 0.001, weight_decay: 0.0}, decay: {kind: constant}}
"""
COCO = "{kind: coco, path: data, train: {annotations: a.json, images: im}, test: {annotations: b.json, images: im}}"
VOC = "{kind: voc, path: data, train: [all], test: [all], difficult: crowd}"


def write(root: Path, data: str) -> None:
    (root / "suites").mkdir(parents=True, exist_ok=True)
    (root / "suites/x.yaml").write_text(SUITE.replace("DATA", data))


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (shade, 90, 40)).save(path)


def coco(root: Path) -> dict[str, Any]:
    """Four images with two boxes each, as they lie on disk."""
    for number in range(1, 5):
        picture(root / f"data/im/{number}.jpg", number * 40)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in range(1, 5)]
    annotations = [
        {"id": 2 * n + k, "image_id": n, "category_id": k + 1, "bbox": [20 + k, 25, 10, 12], "area": 120, "iscrowd": 0}
        for n in range(1, 5)
        for k in (0, 1)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def put(root: Path, content: dict[str, Any]) -> Path:
    """Two halves of the images as the training and the test split."""
    for name, ids in (("a", (1, 2)), ("b", (3, 4, 30))):
        part = {
            **content,
            "images": [image for image in content["images"] if image["id"] in ids],
            "annotations": [one for one in content["annotations"] if one["image_id"] in ids],
        }
        (root / f"data/{name}.json").write_text(json.dumps(part))
    write(root, COCO)
    return root


def said(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["--root", str(root), *arguments]) == code
    return capsys.readouterr().out


def verified(root: Path, capsys: pytest.CaptureFixture[str], *further: str, code: int = 0) -> str:
    return said(root, capsys, "data", "verify", "x", "--tier", "smoke", *further, code=code)


def test_what_is_right_is_not_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = verified(put(tmp_path, coco(tmp_path)), capsys).splitlines()
    assert [line for line in lines if line.startswith("  ")] == ["  classes: cat 2, dog 2"] * 2


def ignored(content: dict[str, Any]) -> None:
    for annotation in content["annotations"][::2]:
        annotation["ignore"] = 1


def wrong_area(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        annotation["area"] = 12000


def tiny_area(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        annotation["area"] = 0.12


def normalised(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        annotation["bbox"], annotation["area"] = [0.3, 0.4, 0.2, 0.3], 0.06


def corners(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        annotation["bbox"], annotation["area"] = [40, 30, 60, 45], 2700


def named_alike(content: dict[str, Any]) -> None:
    content["categories"][1]["name"] = "Cat "


def listed_twice(content: dict[str, Any]) -> None:
    content["images"].append({"id": 30, "file_name": "3.jpg", "width": 64, "height": 48})


def shared(content: dict[str, Any]) -> None:
    content["images"].append({"id": 30, "file_name": "1.jpg", "width": 64, "height": 48})


def outside(content: dict[str, Any]) -> None:
    content["annotations"][-1]["bbox"] = [60, 20, 10, 12]


def root_category(content: dict[str, Any]) -> None:
    content["categories"].insert(0, {"id": 0, "name": "cat", "supercategory": "none"})


def control_characters(content: dict[str, Any]) -> None:
    content["images"][-1]["file_name"] = "a\x1b[31mRED\nfake: line.jpg"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (ignored, "ignore-flag, 2: b.json annotation 6: its `ignore` is not read; `iscrowd` takes a box out"),
        (wrong_area, "area-mismatch, 4: annotation 6: area 12000 of a box of 10x12"),
        (tiny_area, "area-mismatch, 4: annotation 6: area 0.12 of a box of 10x12"),
        (normalised, "normalised-boxes, 1: all 4 boxes: no number above 1"),
        (corners, "xyxy-boxes, 1: all 4 boxes: 4 end outside as x, y, width, height, none as two corners"),
        (named_alike, "near-equal-names, 1: classes: 'cat', 'Cat ': perhaps one class"),
        (listed_twice, "twin-image, 1: 3.jpg: 2 images of split test are this file"),
        (shared, "shared-image, 1: 1.jpg: of split test is in train too"),
        (outside, "outside-box, 1: b.json annotation 9: [60, 20, 10, 12]: stands out of 64x48"),
        (root_category, "root-category, 1: b.json category 0: 'cat' has no annotation: dropped"),
        (control_characters, r"absent-image, 1: a\x1b[31mRED\nfake: line.jpg: absent"),
    ],
)
def test_data_verify_says_it_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], line: str
) -> None:
    content = coco(tmp_path)
    change(content)
    text = verified(put(tmp_path, content), capsys, code=1 if change is control_characters else 0)
    (found,) = [one for one in text.partition("\ntest")[2].splitlines() if one.strip().startswith(line.split(",")[0])]
    assert found.strip().startswith(line)
    assert "\x1b" not in text


def test_twins_with_other_names_and_all_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = coco(tmp_path)
    wrong_area(content)
    put(tmp_path, content)
    (tmp_path / "data/im/4.jpg").write_bytes((tmp_path / "data/im/3.jpg").read_bytes())
    (tmp_path / "data/im/2.jpg").write_bytes((tmp_path / "data/im/3.jpg").read_bytes())
    text = verified(tmp_path, capsys)
    assert "twin-image, 1: 4.jpg: has the bytes of 3.jpg" in text
    assert "shared-image, 2: 3.jpg: of split test is in train too as 2.jpg; 4.jpg: of split test" in text
    assert "and 1 more" in text and text.count("area-mismatch") == 2
    every = verified(tmp_path, capsys, "--all")
    assert every.count("area-mismatch: annotation") == 8 and "more" not in every
    facts = json.loads(verified(tmp_path, capsys, "--json"))
    assert facts["splits"][1]["classes"] == {"cat": 2, "dog": 2}
    assert [doubt["kind"] for doubt in facts["splits"][1]["doubts"]].count("area-mismatch") == 4


def test_an_image_that_is_cut_off_is_found_before_training_and_remembered(tmp_path: Path) -> None:
    put(tmp_path, coco(tmp_path))
    for name in ("2", "3"):
        file = tmp_path / f"data/im/{name}.jpg"
        Image.effect_noise((64, 48), 90).convert("RGB").save(file)
        file.write_bytes(file.read_bytes()[:-400])
    bench(tmp_path, "run", "x", "--tier", "smoke")
    (record,) = Store(tmp_path).records()
    assert [line.replace(".jpg:", ".jpg").split()[:3] for line in record.data.problems] == [
        ["train:", "unreadable-image", "2.jpg"],
        ["test:", "unreadable-image", "3.jpg"],
    ]
    assert record.data.splits["train"]["images"] == record.data.splits["test"]["images"] == 1
    spec, memory = load_suite("x", tmp_path).tier("smoke").data, tmp_path / "results/local/images"
    assert len(list(memory.iterdir())) == 2
    for file in memory.iterdir():
        file.write_text(json.dumps({}))
    assert load(spec, "test", tmp_path, tmp_path).counts()["images"] == 2, "it is not looked at again"
    picture(tmp_path / "data/im/3.jpg", 7)
    assert load(spec, "test", tmp_path, tmp_path).problems == (), "a new file is"
    Image.effect_noise((64, 48), 90).convert("RGB").save(tmp_path / "data/im/4.jpg")
    for name in ("3", "4"):
        (tmp_path / f"data/im/{name}.jpg").write_bytes((tmp_path / "data/im/4.jpg").read_bytes()[:900])
    with pytest.raises(BenchError, match=r"no image can be used; first problem: unreadable-image 3\.jpg: .*truncated"):
        load(spec, "test", tmp_path, tmp_path)


XML = (
    "<annotation><filename>{id}.jpg</filename><size><width>{w}</width><height>{h}</height></size><object>"
    "<name>{name}</name><bndbox><xmin>{x}</xmin><ymin>20</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    "</object></annotation>"
)


def voc(root: Path, before: str = "", listed: str = "{id}", name: str = "cat", x: int | str = 10, w: int = 64) -> Path:
    (root / "data/Annotations").mkdir(parents=True)
    (root / "data/ImageSets/Main").mkdir(parents=True)
    for id_ in "abcd":
        picture(root / f"data/JPEGImages/{id_}.jpg", ord(id_))
        text = before + XML.format(id=id_, name=name, x=x, w=w, h=112 - w)
        (root / f"data/Annotations/{id_}.xml").write_text(text)
    lines = [listed.format(id=id_) for id_ in "abcd"] if listed else []
    (root / "data/ImageSets/Main/all.txt").write_text("\n".join(lines))
    write(root, VOC)
    return root


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"listed": "{id}.jpg"}, "a.jpg: no a.jpg.xml, but a.xml: write ids without .jpg into the split list"),
        (
            {"before": '<?xml version="1.0" encoding="gb2312"?>'},
            "a.xml: multi-byte encodings are not supported; save",
        ),
        ({"before": "<!DOCTYPE annotation>"}, "a.xml: it has a DOCTYPE; take that line out"),
        ({"before": "<oops>"}, "a.xml: broken XML: "),
        ({"listed": ""}, "split train (all) lists no image"),
        ({"listed": "JPEGImages/{id}.jpg"}, "JPEGImages/a.jpg: no a.jpg.xml, but a.xml: write the id a into the split"),
        ({"listed": "{id} 2"}, "a 2: no a 2.xml, but a.xml: write the id a into the split list"),
        ({"x": "10,5"}, "no object in any annotation file: a.xml object 1: no box of four numbers in 'cat'"),
    ],
)
def test_a_plan_is_blocked_with_the_reason_of_each_annotation_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: dict[str, Any], reason: str
) -> None:
    root = voc(tmp_path, **fault)
    plan = said(root, capsys, "plan", "x", "--tier", "smoke")
    assert plan.count(reason) == 1 and "\n1 blocked; " in plan
    if reason.startswith("a."):
        assert "; and 1 more" in plan
    bench(root, "run", "x", "--tier", "smoke", expect=BLOCKED)
    assert reason.replace("split train", "split test") in verified(root, capsys, code=1)


def test_a_plan_is_blocked_by_a_coco_file_that_the_reader_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = coco(tmp_path)
    content["annotations"][-1]["bbox"][2] = float("nan")
    put(tmp_path, content)
    assert "b.json: holds NaN; only finite numbers are allowed, see .annotations[3].bbox[2]" in said(
        tmp_path, capsys, "plan", "x", "--tier", "smoke"
    )
    for image in content["images"]:
        image["file_name"] = "im\\" + image["file_name"].replace("jpg", "JPG")
    content["annotations"].pop()
    plan = said(put(tmp_path, content), capsys, "plan", "x", "--tier", "smoke")
    assert "a.json: none of its 2 images is there: no im\\1.JPG, but 1.jpg" in plan


def test_voc_files_that_count_from_zero_or_name_classes_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = verified(voc(tmp_path / "zero", x=0), capsys)
    assert "zero-based, 4: a.xml object 1: cat 0 20 30 40: starts at 0, VOC at 1; `subtract_one: false`" in text
    root = voc(tmp_path / "alike")
    file = root / "data/Annotations/b.xml"
    file.write_text(file.read_text().replace("cat", "CAT"))
    assert "near-equal-names, 1: classes: 'CAT', 'cat': perhaps one class" in verified(root, capsys)


def test_voc_boxes_in_fractions_and_another_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = voc(tmp_path)
    file = root / "data/Annotations/b.xml"
    file.write_text(file.read_text().replace(">20<", ">0.2<").replace(">30<", ">0.3<").replace(">40<", ">0.4<"))
    file.write_text(file.read_text().replace(">10<", ">0.1<"))
    (root / "data/Annotations/c.xml").write_bytes(file.read_text().replace("cat", "K\u00e4se").encode("latin-1"))
    text = verified(root, capsys, code=1)
    assert "b.xml object 1: cat 0.1 0.2 0.3 0.4: outside of 64x48, dropped; fractions where px should be?" in text
    assert re.search(r"c\.xml: broken XML: .*; byte \d+ is no UTF-8: save it as UTF-8", text)


def test_what_macos_leaves_is_no_annotation(tmp_path: Path) -> None:
    root = voc(tmp_path)
    rule = HeldOut(test=0.5, seed=0)
    before = held_out(root / "data", rule, "train")
    (root / "data/Annotations/._a.xml").write_bytes(b"\0\5\x16\7")
    assert held_out(root / "data", rule, "train") == before


def test_init_says_why_a_coco_file_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, content = tmp_path, coco(tmp_path)
    put(root, content)
    command = ["--root", str(root), "init", "y", "--data", str(root / "data")]
    assert main(command) == 2
    assert "; which of a.json, b.json trains? Name them train.json and val.json" in capsys.readouterr().err
    content["images"] = [{**image, "file_name": None} for image in content["images"]]
    put(root, content)
    assert main(command) == 2
    assert "a.json: image 0: file_name must be a string, not null" in capsys.readouterr().err


def test_a_split_without_objects_has_no_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = coco(tmp_path)
    content["annotations"] = [{**one, "iscrowd": 1} for one in content["annotations"]]
    assert "no-object, 1: all 4 annotations: none is an object" in verified(put(tmp_path, content), capsys)
    (tmp_path / "dt.json").write_text("[]")
    assert main(["score", "--gt", str(tmp_path / "data/b.json"), "--dt", str(tmp_path / "dt.json")]) == 0
    assert "none is an object, so no score is defined" in capsys.readouterr().err


def test_a_size_that_was_declared_before_the_exif_rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = voc(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(root / "data/JPEGImages/b.jpg", exif=exif)
    text = verified(root, capsys)
    assert "exif-rotation, 1: b.xml: 64x48 declared, 48x64 after its EXIF rotation" in text
    assert "size-mismatch" in verified(voc(tmp_path / "plain", w=60), capsys)


def test_an_absent_image_is_told_what_it_may_be_called(tmp_path: Path) -> None:
    for name in ("Photo.JPG", "sub/deep.png"):
        picture(tmp_path / name.replace("JPG", "jpg"), 1)
    (tmp_path / "Photo.jpg").rename(tmp_path / "Photo.JPG")
    listing = Listing(tmp_path)
    assert listing.near("photo.jpg") == listing.near("C:\\me\\photo.jpg") == "Photo.JPG"
    assert listing.near("photo.png") is None or listing.near("Photo.png") == "Photo.JPG"
    assert listing.near("sub\\deep.png") == "sub/deep.png"
    picture(tmp_path / "a b\u00e9.jpg", 1)
    for name in ("a%20b%C3%A9.jpg", "x/a b\u00e9.jpg", "a be\u0301.JPG"):
        assert Listing(tmp_path).near(name) == "a b\u00e9.jpg"
    for name in ("other.jpg", "", "a\0b.jpg", "../x.jpg", "\udc80.jpg", "a\0b/c.jpg"):
        assert listing.near(name) is None and not listing.has(name)
