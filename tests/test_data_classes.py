"""Categories of splits are paired by name, and roots without annotations are no classes."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import bench
from PIL import Image, ImageDraw

from bench.data.coco import read_coco
from bench.data.dataset import Dataset
from bench.detectors.build import build_detector
from bench.detectors.checkpoint import load_weights
from bench.detectors.predict import predict
from bench.errors import UsageError
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.schema.data import CocoData, CocoSplit
from bench.schema.load import load_suite
from bench.schema.protocol import VersionedDetector
from bench.schema.suite import Metric

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
TWO = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
SUITE = """
title: "colours"
rows:
  - {id: fp, label: FP, detector: retinanet-r18, bits: "32/32", recipe: fp}
tiers:
  mini:
    data:
      kind: coco
      path: data
      train: {annotations: train.json, images: im}
      test: {annotations: test.json, images: im}
    metric: {variant: coco}
    detectors:
      retinanet-r18:
        input: {size: [128, 96], pad_divisor: 32}
        test: {batch: 8, score_threshold: 0.05, nms_iou: 0.5}
        init: {kind: scratch}
        width: 16
        neck_width: 32
        head_convs: 4
        head_init_std: 0.08
        anchor_scale: 2.0
    recipes:
      fp:
        unit: step
        length: 80
        batch: 8
        optimizer: {kind: adamw, lr: 0.002, weight_decay: 0.01, norm_decay: 0.0}
        decay: {kind: cosine}
"""


def content(categories: list[dict[str, Any]], boxes: list[tuple[int, int, list[float]]], n: int) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.png", "width": 128, "height": 96} for i in range(1, n + 1)]
    annotations = [
        {"id": k, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for k, (image, category, box) in enumerate(boxes, start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def coloured(folder: Path) -> dict[str, Any]:
    """32 images with a red and a blue rectangle each, written below `folder`; their COCO content."""
    rng, boxes = random.Random(5), []
    (folder / "im").mkdir(parents=True)
    for number in range(1, 33):
        image = Image.new("RGB", (128, 96), (128, 128, 128))
        for category, left in ((1, 2), (2, 66)):
            x, y, w, h = left + rng.randrange(16), rng.randrange(2, 40), rng.randrange(25, 42), rng.randrange(25, 50)
            ImageDraw.Draw(image).rectangle((x, y, x + w - 1, y + h - 1), COLOURS[TWO[category - 1]["name"]])
            boxes.append((number, category, [float(v) for v in (x, y, w, h)]))
        image.save(folder / "im" / f"{number}.png")
    return content(TWO, boxes, 32)


def renumbered(coco: dict[str, Any], ids: dict[int, int]) -> dict[str, Any]:
    """The same boxes and names under other category ids."""
    changed = copy.deepcopy(coco)
    for category in changed["categories"]:
        category["id"] = ids[category["id"]]
    for annotation in changed["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    changed["categories"].sort(key=lambda category: category["id"])
    return changed


def test_one_model_scores_the_same_on_a_test_file_with_other_ids(tmp_path: Path) -> None:
    """A short training on these 32 images; commit 7386d63 scored a swapped file as AP 4, one with equal ids as 96."""
    found = {}
    coco = coloured(tmp_path / "data")
    (tmp_path / "data/train.json").write_text(json.dumps(coco))
    (tmp_path / "data/test.json").write_text(json.dumps(coco))
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites/x.yaml").write_text(SUITE)
    bench(tmp_path, "run", "x")
    (record,) = Store(tmp_path).records()
    scale = VersionedDetector.model_validate_json(json.dumps(record.protocol["detector"])).scale
    model = build_detector("retinanet-r18", scale, ("red", "blue"), 0)
    load_weights(model, Store(tmp_path).folder(record.identity).checkpoint, record.checkpoint_sha256 or "")
    first, second = (CocoSplit(annotations=f"{name}.json", images="im") for name in ("train", "test"))
    spec = CocoData(kind="coco", path="data", train=first, test=second)
    for name, ids in (("equal", {1: 1, 2: 2}), ("swapped", {1: 2, 2: 1}), ("apart", {1: 90, 2: 17})):
        (tmp_path / "data/test.json").write_text(json.dumps(renumbered(coco, ids)))
        data = read_coco(spec, "test", tmp_path / "data")
        detections = Predictions.from_coco(predict(model, data, scale.input, 8)).to_coco()
        found[name] = metric_of(Metric(variant="coco")).score(data.coco, detections).metrics
    assert found["equal"] == found["swapped"] == found["apart"] == record.metrics
    assert record.metrics["AP50"] > 0.2


@pytest.fixture
def swapped_and_equal(tmp_path: Path) -> tuple[Path, Path]:
    """One data set twice: the test file of the first numbers the categories otherwise than its training file."""
    roots = tmp_path / "swapped", tmp_path / "equal"
    for root, ids in zip(roots, ({1: 2, 2: 1}, {1: 1, 2: 2}), strict=True):
        coco = coloured(root / "data")
        (root / "data/train.json").write_text(json.dumps(coco))
        (root / "data/test.json").write_text(json.dumps(renumbered(coco, ids)))
        (root / "suites").mkdir()
        (root / "suites/x.yaml").write_text(SUITE)
    return roots


def test_the_order_of_training_hangs_on_the_training_images(swapped_and_equal: tuple[Path, Path]) -> None:
    (swapped,), (equal,) = (plan(load_suite("x", root), "mini") for root in swapped_and_equal)
    assert swapped.identity != equal.identity and swapped.protocol.seeds == equal.protocol.seeds
    Image.new("RGB", (128, 96)).save(swapped_and_equal[1] / "data/im/7.png", compress_level=0)
    (other,) = plan(load_suite("x", swapped_and_equal[1]), "mini")
    assert other.protocol.seeds.data != equal.protocol.seeds.data


@pytest.mark.long
def test_trained_apart_the_test_files_ids_make_no_difference(swapped_and_equal: tuple[Path, Path]) -> None:
    """Commit 7386d63 scored the swapped one as AP 4, the other as 96."""
    found = []
    for root in swapped_and_equal:
        bench(root, "run", "x")
        (record,) = Store(root).records()
        found.append(record.metrics["AP"])
    assert abs(found[0] - found[1]) <= 0.005 and min(found) > 0.1


BOXES = [(1, 1, [1.0, 1.0, 20.0, 20.0]), (1, 2, [30.0, 1.0, 20.0, 20.0])]


def read(root: Path, train: dict[str, Any], test: dict[str, Any], split: str = "test", **fields: Any) -> Dataset:
    (root / "im").mkdir(exist_ok=True)
    Image.new("RGB", (128, 96)).save(root / "im/1.png")
    (root / "train.json").write_text(json.dumps(train))
    (root / "test.json").write_text(json.dumps(test))
    first, second = (CocoSplit(annotations=f"{name}.json", images="im") for name in ("train", "test"))
    return read_coco(CocoData(kind="coco", path="x", train=first, test=second, **fields), split, root)


def kinds(data: Dataset) -> list[str]:
    return [problem.kind for problem in data.problems]


def test_the_training_file_gives_the_order_and_the_test_file_its_ids(tmp_path: Path) -> None:
    test = content([{"id": 3, "name": "blue"}, {"id": 7, "name": "red"}], [(1, 3, [1, 1, 9, 9])], 1)
    data = read(tmp_path, content(TWO, BOXES, 1), test)
    assert data.coco["categories"] == [{"id": 7, "name": "red"}, {"id": 3, "name": "blue"}]
    assert read(tmp_path, content(TWO, BOXES, 1), test, "train").classes == data.classes


def test_a_test_file_with_fewer_categories_keeps_the_labels(tmp_path: Path) -> None:
    """At commit 7386d63 it was an IndexError after training."""
    test = content([{"id": 9, "name": "blue"}], [(1, 9, [1, 1, 9, 9])], 1)
    data = read(tmp_path, content(TWO, BOXES, 1), test)
    assert data.coco["categories"] == [{"id": 10, "name": "red"}, {"id": 9, "name": "blue"}]
    assert kinds(data) == ["absent-category"]
    chosen = read(tmp_path, content(TWO, BOXES, 1), test, classes=("blue", "red"))
    assert chosen.coco["categories"] == [{"id": 9, "name": "blue"}, {"id": 10, "name": "red"}]
    with pytest.raises(UsageError, match=r"test\.json: no category 'gren'; there are: blue"):
        read(tmp_path, content(TWO, BOXES, 1), test, classes=("gren",))


def test_objects_that_no_model_could_find_are_refused_with_both_lists(tmp_path: Path) -> None:
    three = [*TWO, {"id": 3, "name": "green"}]
    with pytest.raises(UsageError, match=r"objects of 'green'.* here: blue, green, red; there: red, blue"):
        read(tmp_path, content(TWO, BOXES, 1), content(three, [*BOXES, (1, 3, [5, 5, 5, 5])], 1))
    unused = read(tmp_path, content(TWO, BOXES, 1), content(three, BOXES, 1))
    assert unused.classes == ("red", "blue") and kinds(unused) == ["unpaired-category"]
    chosen = read(tmp_path, content(TWO, BOXES, 1), content(three, BOXES, 1), classes=("red",))
    assert chosen.classes == ("red",) and len(chosen.coco["annotations"]) == 1


@pytest.mark.parametrize("name", ["red", "colours"])
def test_a_root_category_without_annotations_is_no_class(tmp_path: Path, name: str) -> None:
    """As Roboflow writes it; with the name of a class too."""
    classes = [{**category, "supercategory": "colours"} for category in TWO]
    roots = [{"id": 0, "name": name, "supercategory": "none"}, *classes]
    data = read(tmp_path, content(roots, BOXES, 1), content(roots, BOXES, 1))
    assert data.classes == ("red", "blue") and kinds(data) == ["root-category"]
    used = content(roots, [*BOXES, (1, 0, [5, 5, 5, 5])], 1)
    if name == "red":
        with pytest.raises(UsageError, match="a name stands twice, 'red'"):
            read(tmp_path, used, used)
    else:
        assert read(tmp_path, used, used).classes == ("colours", "red", "blue")
        # A class of the training split stays one where the test split happens to have none of it.
        assert read(tmp_path, used, content(roots, BOXES, 1)).coco["categories"][0] == {"id": 0, "name": "colours"}


def test_categories_of_coco_that_are_named_as_their_supercategory_stay(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "person", "supercategory": "person"}, *[c | {"id": c["id"] + 1} for c in TWO]]
    data = content(categories, [(1, 2, [1, 1, 9, 9])], 1)
    assert read(tmp_path, data, data).classes == ("person", "red", "blue")
