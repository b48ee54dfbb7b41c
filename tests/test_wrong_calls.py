"""Wrong calls of gates, of scoring and of what every command has: one line, exit 2, no traceback, nothing written."""

import json
import sys
from pathlib import Path

import pytest
from factories import NAME, located, measure_all

from bench.cli.main import main

Capture = pytest.CaptureFixture[str]
SCORE = ("score", "--gt", "gt.json", "--dt", "dt.json")
COMPARE = ("compare", "dt.json", "dt.json", "--gt", "gt.json")
SUBMIT = ("submit", NAME, "hardet", "--dt", "dt.json")
CALLS: list[tuple[tuple[str, ...], str]] = [
    (("check",), "required: SUITE"),
    (("check", "nope"), "unknown suite 'nope'"),
    (("check", NAME, "--gate", "yes"), "unrecognized arguments: yes"),
    (("check", NAME, "--tier", "mega"), "invalid choice: 'mega'"),
    (("check", NAME, "--tier", "paper"), "no tier 'paper'"),
    (("check", NAME, "--allow-uncompared"), "--allow-uncompared belongs to --gate"),
    (("check", NAME, "--core"), "names no core rows"),
    (("check", "all", NAME), "`all` stands alone"),
    (("check", NAME, "--fail-below", "AP=-1"), "unrecognized arguments"),
    (("--root", "nowhere", "check", NAME), "--root nowhere: no such folder"),
    (("check", NAME, "--root", "nowhere"), "--root nowhere: no such folder"),
    (("check", NAME, "--root", "gt.json"), "--root gt.json: no such folder"),
    (("check", NAME, "--root"), "--root: expected one argument"),
    (("--root",), "--root: expected one argument"),
    (("--rot", ".", "list"), "invalid choice"),
    ((), "required: COMMAND"),
    (("chek", NAME), "invalid choice: 'chek'"),
    ((*SCORE, "--boxes", "cxcywh"), "invalid choice: 'cxcywh'"),
    ((*SCORE, "--boxes"), "--boxes: expected one argument"),
    ((*SCORE, "--boxes", "xyxy"), "its second corner (5, 5) lies before its first (10, 10)"),
    ((*SCORE, "--ignore-unknown", "yes"), "--gt belongs to files"),
    ((*SCORE, "--metric", "voc"), "invalid choice: 'voc'"),
    ((*SCORE, "--iou", "0.5"), "--iou belongs to --metric"),
    ((*SCORE, "--metric", "voc07", "--iou", "2"), "--iou 2: must lie above 0"),
    ((*SCORE, "--metric", "voc07", "--pixels", "half"), "invalid choice: 'half'"),
    (("score", "--gt", "gone.json", "--dt", "dt.json"), "gone.json: cannot be read"),
    (("score", "--gt", ".", "--dt", "dt.json"), "cannot be read"),
    (("score", "--gt", "gt.json"), "score wants --gt and --dt, or a record"),
    ((*COMPARE, "--boxes", "yxyx"), "invalid choice: 'yxyx'"),
    ((*COMPARE, "--fail-below", "AP"), "--fail-below AP"),
    ((*COMPARE, "--fail-below", "AP=nan"), "--fail-below AP=nan"),
    ((*COMPARE, "--fail-below", "AP:gnu=-1"), "gnu"),
    ((*COMPARE, "--bound"), "--bound belongs to --fail-below"),
    ((*COMPARE, "--min-images", "-1"), "--min-images -1: must be from"),
    ((*COMPARE, "--tier", "mega"), "invalid choice: 'mega'"),
    (("compare", "dt.json"), "required: B"),
    (("compare", "dt.json", "dt.json"), "detection files are compared with --gt"),
    (
        ("compare", f"{NAME}:fp", f"{NAME}:lsq", "--boxes", "xyxy", "--ignore-unknown", "--metric", "coco"),
        "belongs to --gt",
    ),
    ((*SUBMIT, "--boxes", "wh"), "invalid choice: 'wh'"),
    ((*SUBMIT, "--seed", "-1"), "--seed -1: must be from 0"),
    ((*SUBMIT, "--seed", "x"), "invalid int value: 'x'"),
    (("submit", NAME, "nope", "--dt", "dt.json"), "has no row 'nope'"),
    (("submit", NAME, "hardet"), "required: --dt"),
    (("submit", NAME, "hardet", "--dt", "gone.json"), "gone.json: cannot be read"),
    (("accept", NAME, "--tolerance"), "--tolerance: expected one argument"),
    (("accept", NAME, "--external", "--rows", "nope"), "nothing was submitted"),
    (("plan", NAME, "--rows"), "--rows: expected at least one argument"),
    (("run", NAME, "--again", "--dry-run"), "--again and --dry-run"),
    (("run", NAME, "--again", "yes"), "unrecognized arguments: yes"),
    (("table", NAME, "--format", "html"), "invalid choice: 'html'"),
    (("table", NAME, "--json", "--format", "text"), "--json and --format text: which of the two?"),
    (("table", NAME, "--format", "json", "--columns", "AP"), "--columns: JSON has everything"),
    (("restore", NAME, "--gone"), "unrecognized arguments: --gone"),
    (("gc", "--delete", NAME), f"unrecognized arguments: {NAME}"),
    (("du", "--tier", "mini"), "unrecognized arguments"),
    (("table", NAME, "--comitted"), "table: error: unrecognized arguments: --comitted; did you mean --committed?"),
    (("data", "verify", NAME, "--alll"), "data verify: error: unrecognized arguments: --alll; did you mean --all?"),
    (("plan", "toy"), f"'toy' is a folder of suites; name one: {NAME}"),
    (("init", "mine/x.yaml", "--data", "."), "the name of a suite is that of its file without .yaml"),
    (("init", "mine/x", "--data", "gt.json"), "gt.json: is a file; --data names the folder"),
]


@pytest.mark.parametrize(("arguments", "words"), CALLS)
def test_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    measure_all(located(tmp_path))
    image, category = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}, {"id": 1, "name": "cat"}
    box = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 5, 5]}
    gt = {"images": [image], "categories": [category], "annotations": [{**box, "id": 1, "area": 25}]}
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "dt.json").write_text(json.dumps([{**box, "score": 0.5}]))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    try:
        code = main(list(arguments))
    except SystemExit as error:
        code = int(str(error.code))
    said = capsys.readouterr()
    assert code == 2 and "Traceback" not in said.err and said.out == ""
    # argparse prints the usage first.
    assert words in said.err.strip().splitlines()[-1]
    assert said.err.startswith("usage: ") or said.err.count("\n") == 1
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: time for path, time in after.items() if "data/shapes" not in str(path)} == before


def test_there_are_enough_of_them() -> None:
    assert len({arguments for arguments, _ in CALLS}) == len(CALLS) > 50
