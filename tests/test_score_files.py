"""Reading ground truth and detections: what is accepted, and one clear line for everything else."""

import bz2
import copy
import gzip
import json
import lzma
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.data.coco_json import SCORED_ONLY
from bench.errors import UsageError
from bench.evaluation.boxes import Detections
from bench.evaluation.coco import score_coco
from bench.evaluation.files import read_detections, read_ground_truth
from bench.evaluation.spelling import Known

GT: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2}],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 11, "iscrowd": 0},
        {"id": 6, "image_id": 2, "category_id": 3, "bbox": [1, 2, 3, 4]},
    ],
    "categories": [{"id": 3, "name": "cat"}],
}
DT: list[dict[str, Any]] = [
    {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5},
    {"image_id": 2, "category_id": 3, "bbox": [1.5, 2, 3, 4], "score": 0.25},
]


def dump(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def read_both(folder: Path, gt: Any = GT, dt: Any = DT) -> tuple[dict[str, Any], Detections]:
    gt_path = dump(folder / "gt.json", gt)
    truth = read_ground_truth(gt_path).coco
    return truth, read_detections(dump(folder / "dt.json", dt), Known(truth, str(gt_path))).detections


def fault(folder: Path, **files: Any) -> str:
    """The message, with the folder's name taken out; always a single line."""
    with pytest.raises(UsageError) as caught:
        read_both(folder, **files)
    message = str(caught.value).replace(f"{folder}/", "")
    assert "\n" not in message
    return message


Edit = Callable[[Any], object]

TEXTS = [
    ("", "the file is empty"),
    ("  \n", "the file is empty"),
    ("{", "not JSON: Expecting property name enclosed in double quotes in line 1, column 2"),
    ("[1,]", "not JSON: "),
    ("hello", "not JSON: Expecting value in line 1, column 1"),
    ("[" * 100_000, "nested too deeply"),
    ('{"a":' * 100_000, "nested too deeply"),
    ("[NaN]", "holds NaN; only finite numbers are allowed"),
    ("[-Infinity]", "holds -Infinity; only finite numbers are allowed"),
    ("1" * 5000, "holds a number with too many digits"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
@pytest.mark.parametrize("which", ["gt", "dt"])
def test_texts(tmp_path: Path, which: str, text: str, expected: str) -> None:
    assert fault(tmp_path, **{which: text}).startswith(f"{which}.json: {expected}")


TOPS = [
    ("gt", [], "gt.json: ground truth must be an object with images, annotations and categories"),
    ("gt", 3, "gt.json: ground truth must be an object"),
    ("gt", {}, "gt.json: has no images"),
    (
        "dt",
        {},
        "dt.json: detections must be a list of objects with image_id or file_name, "
        "category_id or category_name, bbox and score",
    ),
    ("dt", GT, "dt.json: detections must be a list of objects with .* \\(this looks like ground truth\\)"),
    ("dt", "null", "dt.json: detections must be a list"),
    ("dt", [3], "dt.json: detection 0: is the number 3, not an object"),
    ("dt", [DT[0], None], "dt.json: detection 1: is null, not an object"),
]


@pytest.mark.parametrize(("which", "value", "expected"), TOPS)
def test_tops(tmp_path: Path, which: str, value: Any, expected: str) -> None:
    assert re.match(expected, fault(tmp_path, **{which: value}))


def put(*path: Any) -> Edit:
    """Set the value at a path of keys: `put("images", 0, "id", 7)`."""

    def edit(value: Any) -> None:
        for key in path[:-2]:
            value = value[key]
        value[path[-2]] = path[-1]

    return edit


def drop(*path: Any) -> Edit:
    def edit(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return edit


BAD_GT: list[tuple[Edit, str]] = [
    (drop("annotations"), "has no annotations"),
    (drop("categories"), "has no categories"),
    (put("images", {}), "the images must be a list, not an object"),
    (put("categories", {}), "the categories must be a list, not an object"),
    (put("images", []), "lists no image"),
    (put("categories", []), "lists no category"),
    (put("images", 1, "id", 1), "two images have the id 1"),
    (put("images", 1, "id", 1.0), "two images have the id 1"),
    (put("images", 1, "id", "2"), "image 1: id must be a number, not a string"),
    (put("images", 1, "id", True), "image 1: id must be a number, not true or false"),
    (put("images", 1, "id", 1.5), "image 1: id 1.5 is not a whole number"),
    (put("images", 1, "id", 2**63), "image 1: id 9223372036854775808 is too large"),
    (put("images", 1, "id", 10**400), "image 1: id is too large"),
    (drop("images", 0, "id"), "image 0: has no id"),
    (put("categories", 0, "name", 3), "category 0: name must be a string, not the number 3"),
    (drop("categories", 0, "name"), "category 0: has no name"),
    (put("categories", 0, "id", 2**31), "category 0: id 2147483648 is too large"),
    (lambda gt: gt["categories"].append({"id": 3, "name": "x"}), "two categories have the id 3"),
    (put("annotations", 1, "id", 5), "two annotations have the id 5"),
    (drop("annotations", 1, "bbox"), "annotation 1: has no bbox"),
    (put("annotations", 0, "area", "11"), "annotation 0: area must be a number, not a string"),
    (put("annotations", 0, "id", []), "annotation 0: id must be a number, not a list"),
    (put("images", 0, "width", "64"), "image 0: width must be a number, not a string"),
    (put("categories", 0, "name", ""), "category 0: name is empty"),
    (put("annotations", 1, "area", math.nan), "holds NaN; only finite numbers are allowed, see .annotations[1].area"),
    (
        put("annotations", 1, "segmentation", {"x": [[1, math.inf]]}),
        "holds Infinity; only finite numbers are allowed, see .annotations[1].segmentation.x[0][1]",
    ),
    (put("annotations", 0, "iscrowd", 2), "annotation 0: iscrowd must be 0 or 1, not the number 2"),
    (put("annotations", 0, "difficult", "1"), "annotation 0: difficult must be 0 or 1, not a string"),
]


@pytest.mark.parametrize(("edit", "expected"), BAD_GT)
def test_bad_ground_truth(tmp_path: Path, edit: Edit, expected: str) -> None:
    gt = copy.deepcopy(GT)
    edit(gt)
    assert fault(tmp_path, gt=gt) == f"gt.json: {expected}"


BAD_DT: list[tuple[Edit, str]] = [
    (put(1, "image_id", 99), "image_id 99 is not in gt.json (ids 1 to 2); --ignore-unknown leaves such detections out"),
    (
        put(1, "category_id", 4),
        "category_id 4 is not in gt.json (ids 3 to 3); --ignore-unknown leaves such detections out",
    ),
    (
        put(1, "image_id", "1"),
        "image_id '1' is not in gt.json (such as a.jpg); --ignore-unknown leaves such detections out",
    ),
    (put(1, "category_id", "3"), "category_id must be a number, not a string"),
    (put(1, "image_id", [1]), "image_id must be a number, not a list"),
    (drop(1, "image_id"), "has neither image_id nor file_name"),
    (drop(1, "category_id"), "has neither category_id nor category_name"),
    (drop(1, "bbox"), "has no bbox"),
    (drop(1, "score"), "has no score"),
    (put(1, "score", "0.5"), "score must be a number, not a string"),
    (put(1, "score", None), "score must be a number, not null"),
    (put(1, "bbox", [1, 2, 3]), "bbox must be a list of four numbers [x, y, width, height]"),
    (put(1, "bbox", {"x": 1}), "bbox must be a list of four numbers [x, y, width, height]"),
    (put(1, "bbox", [1, 2, 3, "4"]), "bbox[3] must be a number, not a string"),
    (put(1, "bbox", [1, 2, 3, -0.5]), "bbox has a negative height (-0.5)"),
    (put(1, "bbox", [1e9, 2, 3, 4]), "bbox is too large"),
    (put(1, "bbox", [10**400, 2, 3, 4]), "bbox[0] is too large"),
]


@pytest.mark.parametrize(("edit", "expected"), BAD_DT)
def test_bad_detections(tmp_path: Path, edit: Edit, expected: str) -> None:
    dt = copy.deepcopy(DT)
    edit(dt)
    assert fault(tmp_path, dt=dt) == f"dt.json: detection 1: {expected}"


def test_a_number_that_overflows(tmp_path: Path) -> None:
    text = json.dumps(DT).replace("0.25", "1e999")
    assert fault(tmp_path, dt=text) == "dt.json: detection 1: score is not finite"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json: cannot be read: No such file or directory$"):
        read_ground_truth(tmp_path / "none.json")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_ground_truth(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"images": "\xe9"}')
    with pytest.raises(UsageError, match=r"latin\.json: not UTF-8 \(byte 12\)"):
        read_ground_truth(tmp_path / "latin.json")


def test_what_is_accepted(tmp_path: Path) -> None:
    gt = copy.deepcopy(GT)
    del gt["annotations"][0]["id"]
    gt["annotations"][1] |= {"difficult": True, "ignore": 1, "segmentation": []}
    gt["images"][0]["id"] = 1.0
    dt = [{**DT[0], "image_id": 1.0, "score": 7, "id": 3}, {**DT[1], "score": -2.5}]
    truth, detections = read_both(tmp_path, gt, "\ufeff" + json.dumps(dt))
    assert truth["annotations"] == [
        {**GT["annotations"][0], "id": 7, "difficult": 0},
        {**GT["annotations"][1], "area": 12, "iscrowd": 0, "difficult": 1},
    ]
    assert (detections.score.tolist(), detections.image.tolist()) == ([7, -2.5], [1, 2])
    assert detections.box.tolist() == [d["bbox"] for d in dt]
    score_coco(truth, detections)


LEFT_OUT: list[tuple[Edit, str, str]] = [
    (put("annotations", 1, "image_id", 9), "unknown-image", "no image has id 9: dropped"),
    (put("annotations", 1, "category_id", 9), "unknown-category", "no category has id 9: dropped"),
]


@pytest.mark.parametrize(("edit", "kind", "detail"), LEFT_OUT)
def test_what_is_left_out_is_reported(tmp_path: Path, edit: Edit, kind: str, detail: str) -> None:
    gt = copy.deepcopy(GT)
    edit(gt)
    truth = read_ground_truth(dump(tmp_path / "gt.json", gt))
    assert [a["id"] for a in truth.coco["annotations"]] == [5]
    assert truth.problems == ((kind, "gt.json annotation 6", detail),)


@pytest.mark.parametrize("box", [[1, 2, -3, 4], [1, 2, 0, 4]])
def test_a_box_without_extent_counts_and_is_reported(tmp_path: Path, box: list[float]) -> None:
    gt = copy.deepcopy(GT)
    gt["annotations"][1]["bbox"] = box
    truth = read_ground_truth(dump(tmp_path / "gt.json", gt))
    assert [(a["id"], a.get("scored_only")) for a in truth.coco["annotations"]] == [(5, None), (6, 1)]
    assert truth.problems == (("degenerate-box", "gt.json annotation 6", f"{box}: no extent: {SCORED_ONLY}"),)


def test_null_is_as_good_as_absent(tmp_path: Path) -> None:
    """Of what may be absent: exporters that fill every column write it."""
    gt = copy.deepcopy(GT)
    gt["annotations"][0] |= dict.fromkeys(("id", "area", "iscrowd", "segmentation", "difficult"))
    gt["images"][0] |= {"width": None, "height": None}
    truth = read_ground_truth(dump(tmp_path / "gt.json", gt))
    (first, _), problems = truth.coco["annotations"], truth.problems
    assert (first["id"], first["area"], first["iscrowd"], problems) == (7, 12, 0, ())


def test_a_file_that_is_no_utf8_says_what_it_is(tmp_path: Path) -> None:
    text = json.dumps(GT)
    packed = {"gzip": gzip.compress(text.encode()), "UTF-16": text.encode("utf-16"), "xz": lzma.compress(text.encode())}
    packed |= {"UTF-16; save it as UTF-8": text.encode("utf-16-le"), "bzip2": bz2.compress(text.encode())}
    for what, data in packed.items():
        (tmp_path / "gt.json").write_bytes(data)
        with pytest.raises(UsageError, match=rf"gt\.json: not .*: it is (packed by )?{what}"):
            read_ground_truth(tmp_path / "gt.json")


def test_an_area_that_is_none_is_width_times_height(tmp_path: Path) -> None:
    for area, problems in ((None, 0), (-1, 1)):
        gt = copy.deepcopy(GT)
        gt["annotations"][0]["area"] = area
        truth = read_ground_truth(dump(tmp_path / "gt.json", gt))
        assert (truth.coco["annotations"][0]["area"], len(truth.problems)) == (12, problems)


def test_no_detections_and_no_annotations(tmp_path: Path) -> None:
    truth, detections = read_both(tmp_path, {**GT, "annotations": []}, [])
    assert (truth["annotations"], len(detections)) == ([], 0)
