"""Every input of the shared cases that is no prediction alone: what is said of it, by the command that should."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

from bench.cli.main import main
from bench.data.load import load
from bench.schema.load import load_suite

DATA = Path(os.environ.get("QDET_SHARED", PROJECT.parent / "shared")) / "cases" / "data"
SAID = {
    "a04_roboflow_same_name": (0, "root-category, 1: gt.json category 0: 'fish' has no annotation: dropped"),
    "a10_duplicate_images": (0, "twin-image, 1: img1.jpg: 2 images of split test are this file"),
    "b12_ignore_flag_mmdet_voc": (0, "ignore-flag, 8: gt.json annotation 1: its `ignore` is not read"),
    "f01_backslash": (1, r"absent-image images\img1.jpg: absent, but there is images/img1.jpg"),
    "f09_missing_images": (1, "absent-image"),
    "i06_truncated": (1, "unreadable-image, 1: img1.jpg: "),
    "s05_with_suffix": (1, "a1.jpg: no a1.jpg.xml, but a1.xml: write ids without .jpg into the split list"),
    "s18_empty_list": (1, "split test (all) lists no image"),
    "v04_zero_based": (
        0,
        "zero-based, 8: a1.xml object 1: cat 0 0 199 159: starts at 0, VOC at 1; `subtract_one: false`",
    ),
    "v14_gb2312": (1, "a1.xml: multi-byte encodings are not supported; save it as UTF-8"),
    "v16_doctype": (1, "a1.xml: it has a DOCTYPE; take that line out"),
    "v19_case_and_spaces": (0, "near-equal-names, 1: classes: 'CAT', 'Cat', 'cat': perhaps one class"),
    "y01_control_chars_in_name": (1, r"absent-image, 1: a\x1b[31mRED\x1b[0m\nfake: line.jpg: absent"),
    "y09_area_bigger_than_image": (0, "area-mismatch, 24: annotation 1: area 46800 of a box of 18x26"),
    "z01_zero_height_gt_score_vs_submit": (0, "degenerate-box, "),
}
SUBMITTED = {
    "b12_ignore_flag_mmdet_voc": "ignore-flag, 8: gt.json annotation 1: its `ignore` is not read",
    "d24_xyxy": "14 of 32 boxes end outside of their image; --boxes xyxy, if they are corners",
    "y09_area_bigger_than_image": "area-mismatch, 24: annotation 1: area 46800 of a box of 18x26",
    "z01_zero_height_gt_score_vs_submit": "degenerate-box, ",
}
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="QDET_SHARED names no folder with the cases")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A copy of the case that the test is of, to write into."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Path(
        shutil.copytree(DATA / request.getfixturevalue("case"), tmp_path / "case", copy_function=shutil.copyfile)
    )


@pytest.mark.parametrize("case", SAID)
def test_data_verify_says_what_is_wrong(copied: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, words = SAID[case]
    assert main(["--root", str(copied / "root"), "data", "verify", "x", "--tier", "mini"]) == code
    said = capsys.readouterr().out
    assert words in said.partition("test: ")[2] and "\x1b" not in said
    if "train: cannot be read" in said:
        assert main(["--root", str(copied / "root"), "plan", "x"]) == 0
        plan = capsys.readouterr().out
        assert "1 blocked" in plan and plan.count("blocked by:") == 1


@pytest.mark.parametrize("case", SUBMITTED)
def test_score_and_submit_warn_of_it(copied: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    dt, gt = str(copied / "dt.json"), str(copied / "gt.json")
    metrics = []
    for command in (["--root", str(copied / "root"), "submit", "x", "fp", "--json"], ["score", "--gt", gt, "--json"]):
        assert main([*command, "--dt", dt]) == 0
        said = capsys.readouterr()
        assert SUBMITTED[case] in said.err
        metrics.append(json.loads(said.out)["metrics"])
    assert metrics[0].keys() == metrics[1].keys() and metrics[0] == metrics[1]


@pytest.mark.parametrize("case", ["x05_same_data_category_ids_swapped_in_test_file"])
def test_categories_of_the_two_files_are_paired_by_name(copied: Path, case: str) -> None:
    """Trained on, it scores what its copy with equal ids does: `test_trained_apart…` of test_data_classes.py."""
    spec = load_suite("x", copied / "root").tier("mini").data
    train, test = (load(spec, split, copied / "root", copied) for split in ("train", "test"))
    assert train.classes == test.classes == ("red", "blue")
    assert [category["id"] for category in test.coco["categories"]] == [2, 1]
    boxes = [
        {(a["image_id"], *a["bbox"], names[a["category_id"]]) for a in data.coco["annotations"]}
        for data in (train, test)
        for names in [{c["id"]: c["name"] for c in data.coco["categories"]}]
    ]
    assert boxes[0] == boxes[1]


def test_no_case_is_left_out() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [folder.name for folder in DATA.iterdir() if f'"{folder.name}"' not in tests] == []
