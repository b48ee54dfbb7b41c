"""Score and IoU of positives: against HQOD's definition, through the command, and as pictures."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SUITE
from PIL import Image

from bench.cli.main import main
from bench.evaluation.harmony import Positives, iou_matrix, positives
from bench.records.store import Store

PICTURES = ["density.png", "detections.png", "gap.png", "iou.png", "surface.png"]
TIER = ("--tier", "smoke")


def truth(*boxes: tuple[int, int, list[float]], crowd: bool = False) -> dict[str, Any]:
    annotations = [
        {"image_id": image, "category_id": category, "bbox": box, "iscrowd": int(crowd)}
        for image, category, box in boxes
    ]
    return {"annotations": annotations}


def found(image: int, category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def test_a_positive_is_every_pair_of_one_class_and_image_with_an_iou_of_half_or_more() -> None:
    gt = truth((1, 7, [0, 0, 10, 10]), (1, 7, [0, 0, 10, 8]), (2, 7, [0, 0, 10, 10]), (1, 8, [0, 0, 10, 10]))
    detections = [
        found(1, 7, [0, 0, 10, 10], 0.9),  # both boxes of its class: 1 and 0.8
        found(1, 7, [0, 0, 10, 5], 0.3),  # 0.5 and 0.625
        found(1, 7, [6, 0, 10, 10], 0.8),  # 0.25: none
        found(2, 8, [0, 0, 10, 10], 0.7),  # no box of its class on its image
    ]
    pairs = positives(gt, detections)
    assert sorted(zip(pairs.score, pairs.iou, strict=True)) == [(0.3, 0.5), (0.3, 0.625), (0.9, 0.8), (0.9, 1.0)]
    assert len(positives(gt, detections, least_score=0.5).score) == 2


def test_crowd_boxes_count_for_nothing() -> None:
    gt = truth((1, 7, [0, 0, 10, 10]), crowd=True)
    assert len(positives(gt, [found(1, 7, [0, 0, 10, 10], 0.9)]).score) == 0


def test_the_ious_are_those_of_pycocotools() -> None:
    from pycocotools import mask

    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 30, (2, 50, 4))
    np.testing.assert_allclose(iou_matrix(a, b), mask.iou(a, b, [0] * 50), atol=1e-12)
    assert iou_matrix(np.zeros((1, 4)), np.zeros((1, 4))).item() == 0


def test_the_numbers_of_known_positives() -> None:
    pairs = Positives(np.array([0.96, 0.91, 0.11, 0.56]), np.array([0.97, 0.62, 0.52, 0.99]))
    assert pairs.gap_histogram().tolist() == [0.25, 0, 0.25, 0, 0.5, 0, 0, 0, 0, 0]
    assert pairs.iou_histogram().tolist() == [0.25, 0, 0.25, 0, 0, 0, 0, 0, 0, 0.5]
    grid = pairs.density()
    assert grid.sum() == 4 and grid[38, 38] == 1 and grid[36, 24] == 1 and grid[4, 20] == 1 and grid[22, 39] == 1
    assert pairs.pearson() == pytest.approx(np.corrcoef(pairs.score, pairs.iou)[0, 1])
    assert pairs.facts() == {"positives": 4.0, "gap_share": 0.25, "pearson": pairs.pearson()}


@pytest.mark.parametrize("score", [[], [0.5], [0.5, 0.5]])
def test_a_correlation_that_is_not_defined_is_none(score: list[float]) -> None:
    pairs = Positives(np.array(score), np.linspace(0.5, 1, len(score)))
    assert pairs.pearson() is None
    assert "pearson" not in pairs.facts() and not np.isnan(pairs.gap_histogram()).any()


def harmony(root: Path, *arguments: str) -> int:
    return main(["--root", str(root), "harmony", *arguments])


def test_the_command_prints_the_numbers_of_the_records(smoke_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{SUITE}:fp-ft-w4a4", f"{SUITE}:lsq-w4a4"]
    assert harmony(smoke_root, *names, *TIER, "--over", f"{SUITE}:fp", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said["records"]] == [
        f"{SUITE} {row} smoke seed 0" for row in ("fp-ft-w4a4", "lsq-w4a4")
    ]
    kept = {r.identity: r.harmony for r in Store(smoke_root).records()}
    for one in said["records"]:
        assert kept[one["identity"]]["positives"] == one["positives"] == sum(map(sum, one["density"]))
        if one["positives"]:
            assert math.fsum(one["gap"]) == pytest.approx(1) and math.fsum(one["iou"]) == pytest.approx(1)
            assert kept[one["identity"]]["gap_share"] == one["gap"][0]
    assert harmony(smoke_root, *names, *TIER) == 0
    assert "gap 0-0.1 %" in capsys.readouterr().out


def test_pictures_are_drawn_of_every_figure(
    smoke_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{SUITE}:fp-ft-w4a4", f"{SUITE}:lsq-w4a4"]
    folder = tmp_path / "plots"
    arguments = (*names, *TIER, "--over", f"{SUITE}:fp", "--plots", str(folder), "--images", "1,2")
    assert harmony(smoke_root, *arguments) == 0
    said = capsys.readouterr().out
    assert all(str(folder / name) in said for name in PICTURES)
    assert sorted(file.name for file in folder.iterdir()) == PICTURES
    for file in folder.iterdir():
        with Image.open(file) as picture:
            assert min(picture.size) > 300 and len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--score", "2"), "must lie in 0 to 1"),
        (("--images", "1"), "--images belongs to --plots"),
        (("--plots", "p", "--images", "1,x"), "--images x: the test split has no such image"),
        (("--plots", "p", "--images", "999"), "--images 999: the test split has no such image"),
        (("--plots", "p", "--images", "1,2,3,4,5,6,7,8,9"), "at most 8"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    arguments: tuple[str, ...], words: str, smoke_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harmony(smoke_root, f"{SUITE}:fp", *TIER, *arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
