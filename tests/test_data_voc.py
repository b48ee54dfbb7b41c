"""The VOC reader: the rules, every trap of real directories, and random damage."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FUZZ, fuzz_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.data.dataset import Dataset
from bench.data.load import load
from bench.data.voc import VOC_CLASSES, read_voc
from bench.errors import BenchError, UsageError
from bench.schema.data import ShapesVoc, SplitCounts, VocData

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
BOMB = '<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


def thing(box: str = "11 21 30 40", name: str = "cat", difficult: str = "0") -> str:
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True))
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    )


def xml(*objects: str, filename: str = "", size: str = "64x48", head: str = "") -> str:
    width, height = size.split("x")
    return (
        f"{head}<annotation><filename>{filename}</filename><size><width>{width}</width>"
        f"<height>{height}</height></size>{''.join(objects)}</annotation>"
    )


def put(folder: Path, id_: str, content: str | None, image: str | None = ".jpg", split: str = "test") -> None:
    """Add one image, its annotation and its line in the split list; None leaves a file out."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if image is not None:
        Image.new("RGB", (64, 48)).save(folder / "JPEGImages" / f"{id_}{image}")
    if content is not None:
        (folder / "Annotations" / f"{id_}.xml").write_text(content)
    with (folder / "ImageSets/Main" / f"{split}.txt").open("a") as stream:
        stream.write(f"{id_}\n")


def read(folder: Path, **fields: Any) -> Dataset:
    settled = {"difficult": "crowd", "train": ("test",), "test": ("test",)} | fields
    return read_voc(VocData(kind="voc", path="x", **settled), "test", folder)


def kinds(dataset: Dataset) -> list[str]:
    return [problem.kind for problem in dataset.problems]


def boxes(dataset: Dataset) -> list[list[float]]:
    return [annotation["bbox"] for annotation in dataset.coco["annotations"]]


def test_box_as_hqod_has_it(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing("11 21 30 40")))
    dataset = read(tmp_path)
    assert dataset.coco["images"] == [{"id": 1, "file_name": "JPEGImages/a.jpg", "width": 64, "height": 48}]
    assert dataset.coco["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 8,
            "bbox": [10, 20, 19, 19],
            "area": 361,
            "iscrowd": 0,
            "difficult": 0,
        }
    ]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("subtract_one", "inclusive_extent", "box"),
    [
        (True, False, [10, 20, 19, 19]),
        (True, True, [10, 20, 20, 20]),
        (False, False, [11, 21, 19, 19]),
        (False, True, [11, 21, 20, 20]),
    ],
)
def test_pixel_conventions(tmp_path: Path, subtract_one: bool, inclusive_extent: bool, box: list[float]) -> None:
    put(tmp_path, "a", xml(thing("11 21 30 40")))
    assert boxes(read(tmp_path, subtract_one=subtract_one, inclusive_extent=inclusive_extent)) == [box]


def test_a_box_over_the_whole_image_is_not_clipped(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing("1 1 64 48")))
    inclusive = read(tmp_path, inclusive_extent=True)
    assert boxes(inclusive) == [[0, 0, 64, 48]]
    assert inclusive.problems == ()


@pytest.mark.parametrize(
    ("rule", "flags"), [("crowd", [(0, 0), (1, 1)]), ("count", [(0, 0), (0, 1)]), ("drop", [(0, 0)])]
)
def test_difficult(tmp_path: Path, rule: str, flags: list[tuple[int, int]]) -> None:
    put(tmp_path, "a", xml(thing(), thing(difficult="1")))
    found = read(tmp_path, difficult=rule).coco["annotations"]
    assert [(a["iscrowd"], a["difficult"]) for a in found] == flags


def test_min_side_leaves_a_box_to_scoring_and_takes_it_from_training(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing("1 1 33 33"), thing("1 1 32 40")))
    assert [a.get("train_ignore") for a in read(tmp_path, min_side=32).coco["annotations"]] == [None, 1]
    assert [a.get("train_ignore") for a in read(tmp_path).coco["annotations"]] == [None, None]


@pytest.mark.parametrize(
    "box",
    [
        "30 21 30 40",
        "11 40 30 40",
        "30 21 11 40",
        "nan 21 30 40",
        "11 21 inf 40",
        "70 21 90 40",
        "-9 21 -1 40",
        "1 1 1 1",
    ],
)
@pytest.mark.parametrize("inclusive", [False, True])
def test_degenerate_boxes_are_dropped_and_reported(tmp_path: Path, box: str, inclusive: bool) -> None:
    put(tmp_path, "a", xml(thing(), thing(box)))
    dataset = read(tmp_path, inclusive_extent=inclusive)
    assert len(boxes(dataset)) == 1
    assert [(p.kind, p.where) for p in dataset.problems] == [("degenerate-box", "a.xml object 2")]


def test_boxes_partly_outside_are_clipped_and_reported(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing("0 -4 30 40"), thing("50 21 99 99")))
    dataset = read(tmp_path)
    assert boxes(dataset) == [[0, 0, 29, 39], [49, 20, 15, 28]]
    assert kinds(dataset) == ["clipped-box", "clipped-box"]


def test_float_corners_are_kept_and_reported(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing("11.5 21 30.25 40"), thing("11.0 21 30 40")))
    dataset = read(tmp_path)
    assert boxes(dataset)[0] == [10.5, 20, 18.75, 19]
    assert kinds(dataset) == ["float-corner"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, "absent-annotation"),
        ("", "broken-annotation"),
        ("<annotation><object>", "broken-annotation"),
        ("<html></html>", "broken-annotation"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "broken-annotation"),
        (xml(thing(name="&b;"), head=BOMB), "broken-annotation"),
    ],
)
def test_a_broken_annotation_takes_its_image_out(tmp_path: Path, content: str | None, kind: str) -> None:
    put(tmp_path, "a", content)
    put(tmp_path, "b", xml(thing()))
    dataset = read(tmp_path)
    assert [image["id"] for image in dataset.coco["images"]] == [2]
    assert kinds(dataset) == [kind]


def test_a_doctype_is_refused_by_name(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(head=BOMB))
    put(tmp_path, "b", xml(thing()))
    assert "DOCTYPE" in read(tmp_path).problems[0].detail


@pytest.mark.parametrize(
    "broken",
    ["<object/>", "<object><name>cat</name></object>", thing("1 2 x 4"), thing(name=""), thing("1,5 2 3 4")],
)
def test_a_broken_object_is_left_out(tmp_path: Path, broken: str) -> None:
    put(tmp_path, "a", xml(broken, thing()))
    dataset = read(tmp_path)
    assert len(boxes(dataset)) == 1
    assert [(p.kind, p.where) for p in dataset.problems] == [("broken-object", "a.xml object 1")]


def test_an_odd_difficult_flag_counts_as_zero(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing(difficult="Unspecified"), thing(difficult=" 1 ")))
    dataset = read(tmp_path)
    assert [a["difficult"] for a in dataset.coco["annotations"]] == [0, 1]
    assert kinds(dataset) == ["broken-difficult"]


def test_an_image_without_objects_is_background(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing()))
    put(tmp_path, "b", xml())
    assert read(tmp_path).counts() == {"images": 2, "boxes": 1, "crowd": 0, "empty_images": 1}


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".png", ".bmp", ".Png"])
def test_images_of_any_suffix(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, "a.b", xml(thing(), filename="elsewhere/a.b.tiff"), image=suffix)
    assert read(tmp_path).coco["images"][0]["file_name"] == f"JPEGImages/a.b{suffix}"


def test_the_filename_of_the_xml_comes_first(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing(), filename="other.png"), image=None)
    Image.new("RGB", (64, 48)).save(tmp_path / "JPEGImages/other.png")
    assert read(tmp_path).coco["images"][0]["file_name"] == "JPEGImages/other.png"
    Image.new("RGB", (64, 48)).save(tmp_path / "JPEGImages/a.jpg")
    both = read(tmp_path)
    assert both.coco["images"][0]["file_name"] == "JPEGImages/other.png"
    assert kinds(both) == ["filename-mismatch"]


@pytest.mark.parametrize("filename", ["../secret.jpg", "/etc/secret.jpg", "..", "C:\\x\\a.jpg"])
def test_a_filename_with_a_folder_is_not_followed(tmp_path: Path, filename: str) -> None:
    put(tmp_path / "voc", "a", xml(thing(), filename=filename))
    Image.new("RGB", (9, 9)).save(tmp_path / "voc/secret.jpg")
    assert read(tmp_path / "voc").coco["images"][0]["file_name"] == "JPEGImages/a.jpg"


def test_absent_and_unreadable_images_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing()), image=None)
    put(tmp_path, "b", xml(thing()))
    (tmp_path / "JPEGImages/b.jpg").write_bytes(b"not an image")
    put(tmp_path, "c", xml(thing()))
    dataset = read(tmp_path)
    assert [image["id"] for image in dataset.coco["images"]] == [3]
    assert kinds(dataset) == ["absent-image", "unreadable-image"]


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing()), image=None)
    with pytest.raises(BenchError, match="absent-image a"):
        read(tmp_path)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_real_size_wins_after_rotation(tmp_path: Path, orientation: int) -> None:
    put(tmp_path, "a", xml(thing("1 1 20 60"), size="48x64"), image=None)
    image = Image.new("RGB", (64, 48))
    image.getexif()[0x0112] = orientation
    image.save(tmp_path / "JPEGImages/a.jpg", exif=image.getexif())
    dataset = read(tmp_path)
    facts = dataset.coco["images"][0]
    if orientation == 6:  # the photo is seen upright, as the XML says
        assert (facts["width"], facts["height"], kinds(dataset)) == (48, 64, [])
    else:
        assert (facts["width"], facts["height"], kinds(dataset)) == (64, 48, ["size-mismatch", "clipped-box"])


def test_classes(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing(name="cat"), thing(name="dog")))
    assert read(tmp_path).classes == VOC_CLASSES
    put(tmp_path, "b", xml(thing(name="Zebra"), thing(name=" ant ")), split="val")
    assert read(tmp_path).classes == VOC_CLASSES, "a split that the suite does not name decides nothing"
    assert read(tmp_path, tune=("val",)).classes == ("Zebra", "ant", "cat", "dog")
    dataset = read(tmp_path, classes=("dog", "emu"))
    assert dataset.classes == ("dog", "emu")
    assert [a["category_id"] for a in dataset.coco["annotations"]] == [1]
    assert [(p.kind, p.detail) for p in dataset.problems] == [
        ("unknown-class", "'cat' is not in classes: 1 boxes left out")
    ]
    with pytest.raises(UsageError, match="twice"):
        read(tmp_path, classes=("dog", "dog"))


def test_no_object_anywhere_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "a", xml())
    with pytest.raises(BenchError, match="no object"):
        read(tmp_path)


def test_split_list_with_comments_windows_ends_and_repeats(tmp_path: Path) -> None:
    for name in ("a", "b c", "d"):
        put(tmp_path, name, xml(thing()))
    (tmp_path / "ImageSets/Main/test.txt").write_bytes("\ufeff# mine\r\nd\r\n\r\n  b c \r\nd\r\na\r\n".encode())
    dataset = read(tmp_path)
    assert [i["file_name"] for i in dataset.coco["images"]] == [f"JPEGImages/{n}.jpg" for n in ("d", "b c", "a")]
    assert [(p.kind, p.where) for p in dataset.problems] == [("duplicate-id", "test.txt:5")]


def test_a_class_file_names_all_its_images(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing()))
    put(tmp_path, "b", xml())
    (tmp_path / "ImageSets/Main/test.txt").write_text("a  1\nb -1\n")
    dataset = read(tmp_path)
    assert len(dataset.coco["images"]) == 2
    assert kinds(dataset) == ["class-file"]


@pytest.mark.parametrize("line", ["../a", "/etc/passwd", "x/../../a", "C:\\a"])
def test_an_id_that_leaves_the_folder_is_an_error(tmp_path: Path, line: str) -> None:
    put(tmp_path, "a", xml(thing()))
    (tmp_path / "ImageSets/Main/test.txt").write_text(f"a\n{line}\n")
    with pytest.raises(UsageError, match=r"test\.txt:2"):
        read(tmp_path)


def test_several_directories_and_several_splits(tmp_path: Path) -> None:
    put(tmp_path / "VOC2007", "a", xml(thing()), split="trainval")
    put(tmp_path / "VOC2012", "a", xml(thing(), thing()), split="trainval")
    put(tmp_path / "VOC2012", "b", xml(thing()), split="val")
    (tmp_path / "VOC2012/ImageSets/Main/val.txt").write_text("a\nb\n")
    dataset = read(tmp_path, test=("VOC2007/trainval", "VOC2012/trainval", "VOC2012/val"), train=("VOC2012/val",))
    assert [(i["id"], i["file_name"]) for i in dataset.coco["images"]] == [
        (1, "VOC2007/JPEGImages/a.jpg"),
        (2, "VOC2012/JPEGImages/a.jpg"),
        (3, "VOC2012/JPEGImages/b.jpg"),
    ]
    assert [a["image_id"] for a in dataset.coco["annotations"]] == [1, 2, 2, 3]
    assert kinds(dataset) == ["duplicate-id"]


def test_absent_splits(tmp_path: Path) -> None:
    put(tmp_path, "a", xml(thing()))
    with pytest.raises(BenchError, match=r"val\.txt: no such split list; there: test"):
        read(tmp_path, test=("val",))
    with pytest.raises(UsageError, match="no tune split"):
        read_voc(VocData(kind="voc", path="x", difficult="drop", train=("a",), test=("a",)), "tune", tmp_path)
    with pytest.raises(BenchError, match="no split lists"):
        read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="trainval"):
        read(tmp_path, test=("../test",))


def test_shapes_go_through_the_same_reader(tmp_path: Path) -> None:
    spec = ShapesVoc(kind="shapes-voc", side=64, images=SplitCounts(train=2, test=1), difficult="drop")
    dataset = load(spec, "train", tmp_path, tmp_path / "cache")
    assert len(dataset.coco["images"]) == 2
    assert len(dataset.classes) == 20, "labels do not depend on which classes two scenes happen to show"
    assert dataset.problems == ()
    with pytest.raises(UsageError, match="no tune split"):
        load(spec, "tune", tmp_path, tmp_path / "cache")


@pytest.mark.skipif(not (SHARED / "data/bccd").is_dir(), reason="BCCD is not here (set QDET_SHARED)")
def test_blood_cells() -> None:
    spec = VocData(kind="voc", path="data/bccd", train=("train",), tune=("val",), test=("test",), difficult="crowd")
    splits = [load(spec, split, SHARED, SHARED) for split in ("train", "tune", "test")]
    assert [len(d.coco["images"]) for d in splits] == [205, 87, 72]
    assert {d.classes for d in splits} == {("Platelets", "RBC", "WBC")}
    assert [d.counts()["boxes"] for d in splits] == [2804, 1137, 945]  # 4886 of the 4888 in the files
    assert [[(p.kind, p.where) for p in d.problems] for d in splits] == [
        [("degenerate-box", "BloodImage_00343.xml object 4")],
        [("degenerate-box", "BloodImage_00338.xml object 13")],
        [],
    ]
    assert not any(d.counts()["empty_images"] for d in splits)


def check(dataset: Dataset) -> None:
    """What holds for every Dataset from this reader."""
    json.dumps(dataset.coco, allow_nan=False)
    sizes = {i["id"]: (i["width"], i["height"]) for i in dataset.coco["images"]}
    for annotation in dataset.coco["annotations"]:
        x, y, w, h = annotation["bbox"]
        width, height = sizes[annotation["image_id"]]
        assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= width + 1e-9 and y + h <= height + 1e-9
        assert annotation["category_id"] in range(1, len(dataset.classes) + 1)


Mutation = Callable[[bytes], bytes]
TOKENS = [
    b"",
    b"<",
    b"</object>",
    b"<object>",
    b"nan",
    b"1e999",
    b"-5",
    b"\xff",
    b"\0",
    b"&amp;",
    b"&x;",
    b"<!DOCTYPE a>",
    b"0",
]


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """`valid` with one to four slices replaced by tokens or random bytes."""
    data = valid
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 1, 2, 5, 30]))
        data = data[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=6)) + data[end:]
    return data


@settings(max_examples=fuzz_examples(250), deadline=None, derandomize=not FUZZ, suppress_health_check=list(HealthCheck))
@given(
    annotation=mutated(xml(thing(), thing("1 1 64 48", "dog", "1"), filename="a.jpg").encode()),
    listed=mutated(b"a\nb\n"),
)
def test_fuzz_damage_gives_a_data_set_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, annotation: bytes, listed: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged-voc"
    if not folder.exists():
        put(folder, "a", None)
        put(folder, "b", xml(thing()))
    (folder / "Annotations/a.xml").write_bytes(annotation)
    (folder / "ImageSets/Main/test.txt").write_bytes(b"a\nb\n" if len(annotation) % 2 else listed)
    try:
        check(read(folder))
    except BenchError as error:
        assert "\n" not in str(error)
