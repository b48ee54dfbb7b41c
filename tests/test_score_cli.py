"""The command `score`: its output, its options, and what it imports."""

import argparse
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bench.cli.score import add_parser, run
from bench.errors import UsageError
from bench.evaluation.coco import METRICS, score_coco
from bench.evaluation.voc import score_voc

GT = {
    "images": [{"id": 1}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]},
        {"image_id": 1, "category_id": 1, "bbox": [20, 20, 9, 9]},
    ],
    "categories": [{"id": 1, "name": "1e5"}, {"id": 2, "name": "two\nlines"}],
}
DT = [
    {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.9},
    {"image_id": 1, "category_id": 1, "bbox": [20, 20, 9, 4], "score": 0.8},
]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "gt.json").write_text(json.dumps(GT))
    (tmp_path / "dt.json").write_text(json.dumps(DT))
    return ["--gt", str(tmp_path / "gt.json"), "--dt", str(tmp_path / "dt.json")]


def score(*options: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return run(parser.parse_args(["score", *options]))


def test_coco_json(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert score(*files, "--json") == 0
    scores = score_coco(GT, DT)
    assert json.loads(capsys.readouterr().out) == {
        "metrics": {name: scores.metrics[name] for name in METRICS},
        "per_category": scores.per_category,
        "images": scores.images,
        "groups": {},
        "scorer": f"hotcoco {version('hotcoco')}",
    }


@pytest.mark.parametrize(("options", "expected"), [((), 1.0), (("--pixels", "exclusive"), 0.5)])
def test_voc_json(
    files: list[str], capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected: float
) -> None:
    assert score(*files, "--metric", "voc12", "--json", *options) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["metrics"] == {"mAP": expected}
    assert output["per_category"]["1e5"] == {"AP": expected, "gt": 2, "detections": 2}


def test_voc_threshold(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    score(*files, "--metric", "voc07", "--iou", "0.6", "--json")
    expected = score_voc(GT, DT, variant="voc07", iou=0.6).metrics
    assert json.loads(capsys.readouterr().out)["metrics"] == expected


def test_coco_table(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    score(*files)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:14]] == list(METRICS)
    assert [line.split()[1] for line in lines[6:8]] == ["-", "-"], "undefined ranges"
    rows = lines[lines.index("") + 3 :]
    assert [row.split("  ")[0] for row in rows] == ["1e5", r"'two\nlines'"]
    assert len({len(row) for row in rows}) == 1, "aligned"


def test_voc_table(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    score(*files, "--metric", "voc12")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mAP", "1.0000"] in lines
    assert ["1e5", "1.0000", "2", "2"] in lines


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--iou", "0.5"), "--iou belongs to"),
        (("--pixels", "inclusive"), "--pixels belongs to"),
        (("--metric", "voc12", "--iou", "0"), "--iou 0: must lie above 0"),
        (("--metric", "voc12", "--iou", "nan"), "--iou nan: must lie above 0"),
        (("--dt", "absent.json"), "absent.json: cannot be read"),
    ],
)
def test_wrong_usage(files: list[str], options: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        score(*files, *options)


def test_imports() -> None:
    heavy = "{'torch', 'mmdet', 'mmengine'} & set(sys.modules)"
    code = (
        "import sys, bench.cli.score\n"
        "assert not {'numpy', 'pycocotools', 'tabulate'} & set(sys.modules)\n"
        "import bench.evaluation.coco, bench.evaluation.voc, bench.evaluation.files\n"
        f"import bench.evaluation.predictions\nassert not {heavy}, {heavy}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
