"""One file, one number: `score`, `submit` then `table`, and side A of `compare` give what pycocotools gives."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import NAME, located, suite_data
from PIL import Image
from test_coco_equal import Coco, pycocotools, random_set

from bench.cli.main import main
from bench.evaluation.coco import METRICS

SIDE = 64
ROW = "hardet"


def random_file(seed: int) -> tuple[Coco, list[Coco]]:
    """A random set as a file: annotations without ids, ids that are floats, boxes without extent or outside."""
    gt, detections = random_set(seed)
    rng = np.random.default_rng(seed)
    for number, image in enumerate(gt["images"]):
        image |= {"file_name": f"{number}.png", "width": SIDE, "height": SIDE}
    if all(annotation["iscrowd"] for annotation in gt["annotations"]):
        box = {"bbox": [1.0, 2.0, 30.0, 20.0], "area": 600.0, "iscrowd": 0}  # without an object there is no score
        gt["annotations"].append({"image_id": gt["images"][0]["id"], "category_id": 0, **box})
    for number, annotation in enumerate(gt["annotations"]):
        kind = int(rng.integers(8))
        if kind == 0:
            annotation["bbox"][:2] = [float(SIDE + 5), -200.0]  # outside of the image
        elif kind == 1:
            annotation["bbox"][2] = 0.0
        if seed % 3:
            annotation["id"] = float(number) if seed % 3 == 1 else number
        if annotation["area"] >= 0 and annotation["area"] == annotation["bbox"][2] * annotation["bbox"][3]:
            annotation["area"] = None if kind == 2 else annotation["area"]
    if seed % 2:
        detections = [{**d, "category_id": float(d["category_id"])} for d in detections]
    for detection in detections:
        detection["bbox"] = [value + 1 / 37 for value in detection["bbox"]]  # no sixteenth of a px
    return gt, detections


def peer(gt: Coco, detections: list[Coco]) -> dict[str, float]:
    """pycocotools on what the file holds; an absent area is width times height."""
    annotations = [
        a | {"area": a["bbox"][2] * a["bbox"][3] if a["area"] is None else a["area"]} for a in gt["annotations"]
    ]
    found = pycocotools({**gt, "annotations": annotations}, detections)
    return dict(zip(METRICS, found.stats.tolist(), strict=True))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite over `gt.json`, which the tests write."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "images").mkdir()
    for number in range(6):
        Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "images" / f"{number}.png")
    data = suite_data()
    part = {"annotations": "gt.json", "images": "images"}
    coco = {"kind": "coco", "path": str(tmp_path), "train": part, "test": part}
    data["tiers"]["mini"] |= {"data": coco, "metric": {"variant": "coco"}}
    located(tmp_path, data)
    return tmp_path


def said(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["--root", str(root), *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("tens", range(20))
def test_200_random_files(root: Path, capsys: pytest.CaptureFixture[str], tens: int) -> None:
    gt_file, dt_file = str(root / "gt.json"), str(root / "dt.json")
    for seed in range(10 * tens, 10 * tens + 10):
        gt, detections = random_file(seed)
        Path(gt_file).write_text(json.dumps(gt))
        Path(dt_file).write_text(json.dumps(detections))
        expected = peer(gt, detections)
        scored = said(root, capsys, "score", "--gt", gt_file, "--dt", dt_file, "--json")["metrics"]
        assert scored == expected, seed
        said(root, capsys, "submit", NAME, ROW, "--dt", dt_file, "--replace", "--json")
        rows = said(root, capsys, "table", NAME, "--format", "json")["tables"][0]["rows"]
        (record,) = [run["record"] for row in rows for run in (row.get("external") or {"runs": []})["runs"]]
        assert record["metrics"] == expected, seed
        compared = said(root, capsys, "compare", dt_file, dt_file, "--gt", gt_file, "--replicates", "100", "--json")
        sides = {name: found["a"] for name, found in compared["metrics"].items()}
        assert sides == {name: None if value == -1 else value for name, value in expected.items()}, seed
