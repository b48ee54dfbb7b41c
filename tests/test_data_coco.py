"""The COCO reader: what it fills in, every trap of real files, and random damage."""

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import FUZZ, fuzz_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.data import coco as coco_module
from bench.data.coco import read_coco
from bench.data.dataset import Dataset
from bench.data.load import load
from bench.detectors.pipeline import data_list
from bench.errors import BenchError, UsageError
from bench.schema.data import CocoData, CocoSplit, FromTrain, ShapesCoco, Split, SplitCounts

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
VALID: dict[str, Any] = {
    "info": {},
    "images": [
        {"id": 7, "file_name": "a.png", "width": 64, "height": 48},
        {"id": 5, "file_name": "sub/b.png", "width": 64, "height": 48},
    ],
    "annotations": [
        {"id": 3, "image_id": 7, "category_id": 18, "bbox": [1, 2, 30.5, 20], "area": 300.25, "iscrowd": 0,
         "segmentation": [[1, 2, 3, 4, 5, 6]], "ignore": 0},
        {"id": 4, "image_id": 7, "category_id": 2, "bbox": [0, 0, 64, 48], "area": 99, "iscrowd": 1,
         "segmentation": {"counts": "abc", "size": [48, 64]}},
        {"id": 9, "image_id": 5, "category_id": 2, "bbox": [5, 5, 4, 3]},
    ],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 2, "name": "bicycle"}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path)


def fill(folder: Path) -> Path:
    (folder / "images/sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("RGB", (64, 48)).save(folder / "images" / name)
    return folder


def read(folder: Path, content: Any, verify: bool = False, **fields: Any) -> Dataset:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "gt.json").write_bytes(text)
    part = CocoSplit(annotations="gt.json", images="images")
    return read_coco(CocoData(kind="coco", path="x", train=part, test=part, **fields), "test", folder, verify=verify)


def changed(place: str, value: Any) -> dict[str, Any]:
    """VALID with the entry at `place`, such as `images.0.width`, replaced; `...` removes it."""
    content = copy.deepcopy(VALID)
    *way, last = (int(step) if step.isdigit() else step for step in place.split("."))
    target: Any = content
    for step in way:
        target = target[step]
    if value is ...:
        del target[last]
    elif isinstance(target, list) and last == len(target):
        target.append(value)
    else:
        target[last] = value
    return content


def kinds(dataset: Dataset) -> list[str]:
    return [problem.kind for problem in dataset.problems]


def test_ids_are_kept_and_gaps_filled(folder: Path) -> None:
    dataset = read(folder, VALID)
    assert dataset.problems == ()
    assert dataset.images_root == folder / "images"
    assert dataset.coco["images"] == VALID["images"]
    assert dataset.coco["categories"] == [{"id": 2, "name": "bicycle"}, {"id": 18, "name": "dog"}]
    fields = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    assert dataset.coco["annotations"] == [
        dict(zip(fields, (3, 7, 18, [1, 2, 30.5, 20], 300.25, 0), strict=True)),
        dict(zip(fields, (4, 7, 2, [0, 0, 64, 48], 99, 1), strict=True)),
        dict(zip(fields, (9, 5, 2, [5, 5, 4, 3], 12, 0), strict=True)),
    ]


def test_training_images_are_set_aside_for_tune(folder: Path) -> None:
    content = copy.deepcopy(VALID)
    ids = [*range(20, 9, -1), 7, 5]
    content["images"] = [{"id": id_, "file_name": "a.png", "width": 64, "height": 48} for id_ in ids]
    (folder / "gt.json").write_text(json.dumps(content), encoding="utf-8")
    part = CocoSplit(annotations="gt.json", images="images")

    def split(name: Split, seed: int = 0, images: int = 4) -> Dataset:
        aside = FromTrain(images=images, seed=seed)
        return read_coco(CocoData(kind="coco", path="x", train=part, test=part, tune_from_train=aside), name, folder)

    def of(found: Dataset) -> list[int]:
        return [image["id"] for image in found.coco["images"]]

    train, tune = split("train"), split("tune")
    # Disjoint, in the order of the file, and the test split is untouched.
    assert len(of(tune)) == 4 and sorted(of(train) + of(tune)) == sorted(ids) == sorted(of(split("test")))
    assert of(train) == [id_ for id_ in ids if id_ not in of(tune)] and train.name.endswith("/train")
    assert len(train.coco["annotations"]) + len(tune.coco["annotations"]) == len(VALID["annotations"])
    assert train.classes == tune.classes and of(split("tune", seed=1)) != of(tune)
    assert set(of(split("tune", images=3))) < set(of(tune))
    with pytest.raises(UsageError, match=r"gt\.json: 13 of 13 training images set aside for tune leave none"):
        split("train", images=13)
    with pytest.raises(ValueError, match="`tune_from_train` takes the place of `tune`"):
        CocoData(kind="coco", path="x", train=part, tune=part, test=part, tune_from_train=FromTrain(images=1))


def test_classes_select_categories_in_order(folder: Path) -> None:
    dataset = read(folder, VALID, classes=("dog",))
    assert dataset.classes == ("dog",)
    assert dataset.counts() == {"images": 2, "boxes": 1, "crowd": 0, "empty_images": 1}
    assert read(folder, VALID, classes=("dog", "bicycle")).classes == ("dog", "bicycle")
    with pytest.raises(UsageError, match="no category 'cat'; there are: bicycle, dog"):
        read(folder, VALID, classes=("cat",))
    with pytest.raises(UsageError, match="twice"):
        read(folder, VALID, classes=("dog", "dog"))


def test_absent_images_go_with_their_annotations(folder: Path) -> None:
    (folder / "images/a.png").unlink()
    dataset = read(folder, VALID)
    assert [a["id"] for a in dataset.coco["annotations"]] == [9]
    assert [(p.kind, p.where) for p in dataset.problems] == [("absent-image", "a.png")]
    (folder / "images/sub/b.png").unlink()
    with pytest.raises(BenchError, match=r"no image can be used; first problem: absent-image a\.png"):
        read(folder, VALID)


def test_unreadable_images_are_left_out(folder: Path) -> None:
    (folder / "images/a.png").write_bytes(b"\x89PNG\r\n")
    assert kinds(read(folder, VALID)) == ["unreadable-image"]


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([5, 5, 0, 3], "degenerate-box"),
        ([5, 5, 3, -1], "degenerate-box"),
        ([64, 5, 3, 3], "degenerate-box"),
        ([5, -3, 3, 3], "degenerate-box"),
        ([60, 5, 9, 3], "outside-box"),
        ([-0.5, -0.5, 64.9, 48.9], None),
    ],
)
def test_odd_boxes(folder: Path, box: list[float], kind: str | None) -> None:
    dataset = read(folder, changed("annotations.2.bbox", box))
    kept = [a["bbox"] for a in dataset.coco["annotations"] if a["id"] == 9]
    assert kinds(dataset) == ([] if kind is None else [kind])
    assert kept == [box], "a COCO box is never changed"
    # Scoring counts it, as pycocotools does; training does not see it.
    targets = [one["bbox"] for image in data_list(dataset) for one in image["instances"]]
    assert len(targets) == (2 if kind == "degenerate-box" else 3)


def test_an_area_that_is_none_is_replaced(folder: Path) -> None:
    dataset = read(folder, changed("annotations.2.area", -1))
    assert dataset.coco["annotations"][2]["area"] == 12
    assert kinds(dataset) == ["broken-area"]
    for absent in (..., None):
        dataset = read(folder, changed("annotations.0.area", absent))
        assert dataset.coco["annotations"][0]["area"] == 30.5 * 20 and dataset.problems == ()


def test_ids_may_be_whole_floats_or_absent(folder: Path) -> None:
    content = changed("annotations.0.id", ...)
    content["annotations"][1] |= {"id": 4.0, "image_id": 7.0, "iscrowd": 1.0}
    dataset = read(folder, content)
    assert [a["id"] for a in dataset.coco["annotations"]] == [10, 4, 9] and dataset.problems == ()
    assert all(type(a["image_id"]) is int for a in dataset.coco["annotations"])


@pytest.mark.parametrize(("field", "kind"), [("image_id", "unknown-image"), ("category_id", "unknown-category")])
def test_annotations_of_unknown_things_are_dropped(folder: Path, field: str, kind: str) -> None:
    dataset = read(folder, changed(f"annotations.0.{field}", 99))
    assert [(p.kind, p.where) for p in dataset.problems] == [(kind, "gt.json annotation 3")]
    assert len(dataset.coco["annotations"]) == 2


def test_annotation_zero_gets_an_id_that_pycocotools_can_match(folder: Path) -> None:
    dataset = read(folder, changed("annotations.0.id", 0))
    assert [a["id"] for a in dataset.coco["annotations"]] == [10, 4, 9]
    assert kinds(dataset) == ["zero-id"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("images.1.id", 7, "two images have the id 7"),
        ("annotations.1.id", 3, "two annotations have the id 3"),
        ("categories.1.id", 18, "two categories have the id 18"),
        ("categories.1.name", "dog", "categories: a name stands twice"),
        ("categories", [], "lists no category"),
        ("images", [], "lists no image"),
        ("images", ..., "has no images"),
        ("annotations", {}, "the annotations must be a list, not an object"),
        ("images.0", "a.png", "image 0: is a string, not an object"),
        ("images.0.id", "7", "image 0: id must be a number, not a string"),
        ("images.0.id", True, "image 0: id must be a number, not true or false"),
        ("images.0.id", 7.5, "image 0: id 7.5 is not a whole number"),
        ("images.0.id", 2**63, "image 0: id 9223372036854775808 is too large"),
        ("images.0.width", "64", "image 0: width must be a number, not a string"),
        ("images.0.width", -1, r"image 0: width is negative \(-1\)"),
        ("images.0.file_name", ..., "image 0: has no file_name"),
        ("images.0.file_name", "\ud800.png", "image 0: file_name cannot be written in UTF-8"),
        ("annotations.2.bbox", [1, 2, 3], r"annotation 2: bbox must be a list of four numbers \[x, y, width, height\]"),
        ("annotations.2.bbox", ..., "annotation 2: has no bbox"),
        ("annotations.2.bbox", [1, 2, "3", 4], r"annotation 2: bbox\[2\] must be a number, not a string"),
        ("annotations.2.bbox", [1, 2, True, 4], r"annotation 2: bbox\[2\] must be a number, not true or false"),
        ("annotations.2.bbox", [math.nan, 5, 3, 3], r"holds NaN; .*, see \.annotations\[2\]\.bbox\[0\]"),
        ("annotations.2.bbox", [5, 5, math.inf, 3], r"holds Infinity; .*, see \.annotations\[2\]\.bbox\[2\]"),
        ("annotations.2.bbox", [5, 5, 10**400, 3], r"annotation 2: bbox\[2\] is too large"),
        ("annotations.2.bbox", [5, 5, 1e300, 1e300], "annotation 2: bbox is too large"),
        ("annotations.2.area", math.nan, r"holds NaN; .*, see \.annotations\[2\]\.area"),
        ("annotations.2.area", -math.inf, r"holds -Infinity; .*, see \.annotations\[2\]\.area"),
        ("annotations.2.area", "big", "annotation 2: area must be a number, not a string"),
        ("annotations.2.iscrowd", 2, "annotation 2: iscrowd must be 0 or 1, not the number 2"),
        ("annotations.2.iscrowd", 0.5, "annotation 2: iscrowd must be 0 or 1, not the number 0.5"),
    ],
)
def test_wrong_entries_are_named(folder: Path, place: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=rf"gt\.json: {message}"):
        read(folder, changed(place, value))


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "sub/../../a.png", "C:\\a.png", "..\\a.png", "a\0.png"])
def test_a_file_name_that_leaves_the_folder_is_an_error(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"image 0: file_name .* leaves the folder"):
        read(folder, changed("images.0.file_name", name))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"1" * 5000])
def test_what_is_no_coco_file_at_all(folder: Path, text: bytes) -> None:
    with pytest.raises(BenchError, match=r"gt\.json"):
        read(folder, text)


def test_a_byte_order_mark_is_skipped(folder: Path) -> None:
    assert len(read(folder, b"\xef\xbb\xbf" + json.dumps(VALID).encode()).coco["images"]) == 2


def test_absent_files_and_splits(folder: Path) -> None:
    spec = CocoData(
        kind="coco",
        path="x",
        train=CocoSplit(annotations="no.json", images="images"),
        test=CocoSplit(annotations="gt.json", images="nowhere"),
    )
    (folder / "gt.json").write_text(json.dumps(VALID))
    with pytest.raises(BenchError, match=r"no\.json: no such file"):
        read_coco(spec, "train", folder)
    with pytest.raises(BenchError, match=r"nowhere: no such folder"):
        read_coco(spec, "test", folder)
    with pytest.raises(UsageError, match="no tune split"):
        read_coco(spec, "tune", folder)


def test_declared_sizes_are_trusted_only_in_large_splits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = changed("images.0.width", 32)
    probed = read(folder, content)
    assert probed.coco["images"][0]["width"] == 64
    assert [(p.kind, p.detail) for p in probed.problems] == [("size-mismatch", "32x48 declared, it has 64x48")]
    monkeypatch.setattr(coco_module, "PROBE_LIMIT", 1)
    assert read(folder, content).coco["images"][0]["width"] == 32
    assert read(folder, content, verify=True).coco["images"][0]["width"] == 64
    assert read(folder, changed("images.0.width", ...)).coco["images"][0]["width"] == 64, "not declared"


def test_a_rotated_photo_has_the_size_it_is_seen_with(folder: Path) -> None:
    image = Image.new("RGB", (64, 48))
    image.getexif()[0x0112] = 8
    image.save(folder / "images/a.png", exif=image.getexif())
    first = read(folder, VALID).coco["images"][0]
    assert (first["width"], first["height"]) == (48, 64)


def test_difficult_and_train_ignore_survive_a_round_trip(folder: Path) -> None:
    content = changed("annotations.2", VALID["annotations"][2] | {"difficult": 1, "train_ignore": 1})
    once = read(folder, content).coco
    assert once["annotations"][2]["difficult"] == once["annotations"][2]["train_ignore"] == 1
    assert read(folder, once).coco == once


def test_shapes_go_through_the_same_reader(tmp_path: Path) -> None:
    spec = ShapesCoco(kind="shapes-coco", side=64, images=SplitCounts(train=1, tune=1, test=2))
    dataset = load(spec, "test", tmp_path, tmp_path / "cache")
    assert (len(dataset.coco["images"]), len(dataset.classes), dataset.problems) == (2, 80, ())


@pytest.mark.skipif(not (SHARED / "data/coco_val2017_free").is_dir(), reason="COCO is not here (set QDET_SHARED)")
@pytest.mark.parametrize(("name", "images", "boxes"), [("val", 72, 604), ("train", 70, 684)])
def test_genuine_coco(name: str, images: int, boxes: int) -> None:
    part = CocoSplit(annotations="instances.json", images="images")
    spec = CocoData(kind="coco", path=f"data/coco_{name}2017_free", train=part, test=part)
    dataset = load(spec, "test", SHARED, SHARED)
    counts = dataset.counts()
    assert (counts["images"], counts["boxes"], len(dataset.classes)) == (images, boxes, 80)
    assert dataset.problems == (), "declared sizes, boxes and areas are all in order"
    file = SHARED / spec.path / "instances.json"
    original = json.loads(file.read_text())["annotations"]
    kept = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    assert dataset.coco["annotations"] == [{key: a[key] for key in kept} for a in original]


def check(dataset: Dataset) -> None:
    """What holds for every Dataset from this reader."""
    json.dumps(dataset.coco, allow_nan=False)
    images = {i["id"]: i for i in dataset.coco["images"]}
    ids = [a["id"] for a in dataset.coco["annotations"]]
    assert len(set(ids)) == len(ids) and 0 not in ids
    categories = {c["id"] for c in dataset.coco["categories"]}
    for image in images.values():
        assert (dataset.images_root / image["file_name"]).is_file()
    for annotation in dataset.coco["annotations"]:
        _, _, w, h = annotation["bbox"]
        assert annotation.get("scored_only") or (w > 0 and h > 0 and annotation["area"] >= 0)
        assert annotation["iscrowd"] in (0, 1)
        assert annotation["image_id"] in images and annotation["category_id"] in categories


def places(node: Any, way: str = "") -> list[str]:
    """Every place in a JSON document, as `changed` names it."""
    children = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, dict) else ()
    return [p for key, child in children for p in (f"{way}{key}", *places(child, f"{way}{key}."))]


VALUES = st.one_of(
    st.just(...), st.none(), st.booleans(), st.integers(-3, 99), st.floats(), st.text(max_size=4),
    st.sampled_from([2**70, -1e308, "../x", "a.png", "sub", "", [], {}, [1, 2, 3, 4], [1, 2, 1e308, 1e308]]),
)  # fmt: skip


@settings(max_examples=fuzz_examples(250), deadline=None, derandomize=not FUZZ, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(places(VALID)),
    value=VALUES,
    cut=st.none() | st.integers(0, 900),
    noise=st.binary(max_size=3),
)
def test_fuzz_damage_gives_a_data_set_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, place: str, value: Any, cut: int | None, noise: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged-coco"
    if not folder.exists():
        fill(folder)
    text = json.dumps(changed(place, value)).encode()
    if cut is not None:
        text = text[:cut] + noise + text[cut + len(noise) :]
    try:
        check(read(folder, text))
    except BenchError as error:
        assert "\n" not in str(error)
