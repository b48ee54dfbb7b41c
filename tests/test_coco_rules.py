"""`score` and a data set of a suite read a COCO file by the same rules: what one takes, the other takes."""

import copy
import json
from pathlib import Path

import pytest
from conftest import FUZZ, fuzz_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_data_coco import VALID, VALUES, changed, fill, places

from bench.data.coco import read_coco
from bench.errors import BenchError
from bench.evaluation.coco import score_coco
from bench.evaluation.files import read_ground_truth
from bench.schema.data import CocoData, CocoSplit

PART = CocoSplit(annotations="gt.json", images="images")
SPEC = CocoData(kind="coco", path="x", train=PART, test=PART)
OF_IMAGES = ("no image can be used", "file_name", "a name stands twice")
"""Only a data set asks for images, and for classes that can be told apart by name."""


def verdicts(folder: Path, text: str) -> tuple[str | None, str | None]:
    """Why `score` and a data set refuse the file; None where they take it."""
    (folder / "gt.json").write_text(text)
    found: list[str | None] = []
    for read in (lambda: read_ground_truth(folder / "gt.json"), lambda: read_coco(SPEC, "test", folder)):
        try:
            read()
            found.append(None)
        except BenchError as error:
            found.append(str(error))
    return found[0], found[1]


@settings(max_examples=fuzz_examples(150), deadline=None, derandomize=not FUZZ, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(places(VALID)), value=VALUES)
def test_both_take_and_refuse_the_same(tmp_path_factory: pytest.TempPathFactory, place: str, value: object) -> None:
    folder = tmp_path_factory.getbasetemp() / "coco-rules"
    if not folder.exists():
        fill(folder)
    score, data = verdicts(folder, json.dumps(changed(place, value)))
    if data is None or not any(text in data for text in OF_IMAGES):
        assert score == data


def test_both_give_the_same_objects(tmp_path: Path) -> None:
    content = copy.deepcopy(VALID)
    del content["annotations"][0]["id"]
    content["annotations"].append({"image_id": 99, "category_id": 2, "bbox": [0, 0, 1, 1]})
    content["annotations"].append({"image_id": 5, "category_id": 2, "bbox": [1, 1, 2, 2], "area": None, "id": 20.0})
    fill(tmp_path)
    assert verdicts(tmp_path, json.dumps(content)) == (None, None)
    truth, dataset = read_ground_truth(tmp_path / "gt.json"), read_coco(SPEC, "test", tmp_path)
    assert [a | {"difficult": 0} for a in dataset.coco["annotations"]] == truth.coco["annotations"]
    assert truth.problems == dataset.problems
    found = [{**a, "score": 0.5} for a in dataset.coco["annotations"]]
    assert score_coco(truth.coco, found) == score_coco(dataset.coco, found)
