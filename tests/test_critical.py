"""Critical categories: the numbers of groups against pycocotools, and a fall that the overall AP hides."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from resampling import repeated, scene
from test_score_coco import case

from bench.cli.main import main
from bench.evaluation.coco import METRICS, score_coco
from bench.evaluation.groups import group_numbers
from bench.evaluation.metric import metric_of
from bench.evaluation.resample import resample
from bench.evaluation.voc import score_voc
from bench.schema.suite import Metric

Capture = pytest.CaptureFixture[str]
COCO_METRIC = metric_of(Metric(variant="coco"))


def by_pycocotools(gt: Any, detections: Any, categories: list[int]) -> list[float]:
    """The twelve numbers of some categories alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, **copy.deepcopy(gt)}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(detections)), "bbox")
        evaluation.params.catIds = categories
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.parametrize("seed", range(20))
def test_a_group_has_the_numbers_of_pycocotools(seed: int) -> None:
    gt, detections = case(seed)
    group = [category for n, category in enumerate(gt["categories"]) if n % 2 == 0]
    scores = score_coco(gt, detections)
    found = group_numbers(COCO_METRIC, scores.per_category, {"g": tuple(one["name"] for one in group)})
    assert list(found) == [f"g.{name}" for name in METRICS]
    expected = by_pycocotools(gt, detections, [one["id"] for one in group])
    assert list(found.values()) == pytest.approx(expected, abs=1e-12)


def test_a_group_without_objects_is_undefined_and_an_old_record_has_no_recalls() -> None:
    per_category = {"a": {"AP": -1.0, "AP50": -1.0}, "b": {"AP": 0.5, "AP50": 0.75}, "c": {"AP": 0.25, "AP50": 0.5}}
    groups = {"none": ("a",), "some": ("a", "b", "c"), "lacking": ("b", "d")}
    found = group_numbers(COCO_METRIC, per_category, groups)
    assert found == {"none.AP": -1, "none.AP50": -1, "some.AP": 0.375, "some.AP50": 0.625}


@pytest.mark.parametrize("variant", ["coco", "voc07", "voc12"])
def test_resampled_groups_are_those_of_the_repeated_set(variant: Any) -> None:
    gt, detections, _ = scene(3, images=12, tied=True)
    metric = metric_of(Metric(variant=variant))
    groups = {"two": ("c0", "c2"), "one": ("c1",), "absent": ("c3",)}
    weights = np.random.default_rng(0).integers(0, 3, (4, 12)).astype(np.int32)
    found = resample(metric.match(gt, detections), weights, metric, groups=groups).metrics
    for at, weight in enumerate(weights):
        scored = metric.score(*repeated(gt, detections, weight))
        for name, value in group_numbers(metric, scored.per_category, groups).items():
            ours = found[name][at]
            assert (np.isnan(ours) and value == -1) or ours == pytest.approx(value, abs=1e-12), name
    assert len(found) == (1 + len(groups)) * len(metric.by_category)


def test_images_of_a_category_are_counted_without_crowds() -> None:
    gt, detections = case(1)
    for scores in (score_coco(gt, detections), score_voc(gt, detections, variant="voc12")):
        assert scores.images == {
            category["name"]: len(
                {a["image_id"] for a in gt["annotations"] if a["category_id"] == category["id"] and not a["iscrowd"]}
            )
            for category in sorted(gt["categories"], key=lambda category: category["id"])
        }


NAMES = ("solid-disc", "solid-star", "solid-cross")
FOUND = ((99, 97, 98), (97, 99, 98))
"""Of 100 objects of each category how many A and B find: two fall, two rise, one stays."""


def planted() -> tuple[Any, Any, Any]:
    """Ground truth, A, and B whose AP is A's, with the first category 2 lower."""
    images = [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 100} for n in range(1, 301)]
    boxes = [{"image_id": n, "category_id": 1 + (n - 1) // 100, "bbox": [10, 10, 40, 40]} for n in range(1, 301)]
    above = ("person", "things", "things")
    gt = {
        "images": images,
        "categories": [{"id": k, "name": NAMES[k - 1], "supercategory": above[k - 1]} for k in (1, 2, 3)],
        "annotations": [{**box, "id": n, "area": 1600, "iscrowd": 0} for n, box in enumerate(boxes, 1)],
    }
    sides = [[{**box, "score": 0.9} for n, box in enumerate(boxes) if n % 100 < of[n // 100]] for of in FOUND]
    return gt, *sides


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A, B, and the option that names the ground truth."""
    for name, content in zip(("gt", "a", "b"), planted(), strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--gt", str(tmp_path / "gt.json")]


def said(capsys: Capture, code: int, *arguments: str) -> str:
    assert main(list(arguments)) == code
    out, err = capsys.readouterr()
    return err if code == 2 else out


GATE = ("--replicates", "100", "--fail-below", "AP=-0.1")


@pytest.mark.parametrize("named", [(), ("--critical", "person"), ("--critical", "person=solid-disc")])
def test_compare_catches_a_critical_fall_that_ap_hides(files: list[str], capsys: Capture, named: Any) -> None:
    text = said(capsys, 1, "compare", *files, *GATE, *named, "--fail-below", "person.AP=-1")
    assert "AP: holds, " in text
    assert "person.AP: fell, -1.98 (99.01 -> 97.03), limit -1" in text
    assert (
        "Group person: solid-disc." in text and "Fell most, of categories with 20 images or more: solid-disc." in text
    )
    assert said(capsys, 0, "compare", *files, *GATE, *named, "--fail-below", "person.AP=-3")
    assert said(capsys, 0, "compare", *files, *GATE), "without the group nothing is seen"


def test_a_group_has_an_interval_over_images(files: list[str], capsys: Capture) -> None:
    found = json.loads(said(capsys, 0, "compare", *files, "--critical", "solid-disc,solid-star", "--json"))
    assert found["groups"] == {"critical": ["solid-disc", "solid-star"]}
    assert [name for name in found["metrics"] if "." in name] == [f"critical.{name}" for name in METRICS]
    group = found["metrics"]["critical.AP"]
    assert group["images"] == 200 and group["difference"] == pytest.approx(0) and group["interval"][0] < 0
    few = json.loads(said(capsys, 0, "compare", *files, "--critical", "person", "--min-images", "101", "--json"))
    assert few["metrics"]["person.AP"]["interval"] is None and few["metrics"]["AP"]["interval"] is not None
    assert few["fell_most"] == [] and found["fell_most"] == ["solid-disc"]


def test_score_has_a_column_a_group(files: list[str], capsys: Capture) -> None:
    score = ("score", "--gt", files[3], "--dt", files[0], "--critical", "person", "--critical", "x=solid-star")
    found = json.loads(said(capsys, 0, *score, "--json"))["groups"]
    assert found["person"]["categories"] == ["solid-disc"] and set(found["x"]["metrics"]) == set(METRICS)
    assert found["person"]["metrics"]["AP"] == pytest.approx(100 / 101)
    table = said(capsys, 0, *score).splitlines()
    assert table[0].split() == ["metric", "value", "person", "x"]
    assert table[2].split() == ["AP", "0.9802", "0.9901", "0.9703"]
    assert said(capsys, 0, *score, "--metric", "voc12").splitlines()[2].split()[0] == "mAP"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("persons", "--critical persons: unknown group 'persons'; did you mean 'person'?"),
        ("x=solid-disk", "--critical x=solid-disk: unknown category 'solid-disk'; did you mean 'solid-disc'?"),
        ("x=", "--critical x=: names no category"),
        ("", "--critical : names no category"),
        ("=solid-disc", "names no category"),
        ("x=solid-disc,solid-disc", "category 'solid-disc' stands twice in group 'x'"),
        (f"x={','.join(NAMES)}", "group 'x' holds all 3 categories: its numbers are the overall ones"),
    ],
)
@pytest.mark.parametrize("command", ["score", "compare"])
def test_wrong_groups(files: list[str], capsys: Capture, named: str, words: str, command: str) -> None:
    sides = files if command == "compare" else ["--gt", files[3], "--dt", files[0]]
    error = said(capsys, 2, command, *sides, "--critical", named)
    assert words in error and error.count("\n") == 1 and error.startswith("qdet-bench: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--critical", "x=solid-disc", "--critical", "x=solid-star"], "there is a group 'x' already"),
        (["--fail-below", "persons.AP=-1"], "--fail-below persons: unknown group 'persons'"),
        (["--fail-below", "person.AP60=-1"], "no metric 'person.AP60'; there are person.AP50"),
    ],
)
def test_wrong_groups_of_a_comparison(files: list[str], capsys: Capture, options: list[str], words: str) -> None:
    assert words in said(capsys, 2, "compare", *files, "--replicates", "100", *options)
