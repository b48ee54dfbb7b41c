"""Shapes: the same pixels and boxes everywhere, sensible scenes, and folders that are whole or absent."""

import hashlib
import json
import math
import multiprocessing
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bench.data.shapes import Flavour, fixed, folder_name
from bench.data.shapes.classes import class_names, class_weights
from bench.data.shapes.outline import OUTLINES, UNIT
from bench.data.shapes.raster import FULL, GRID, Window, coverage
from bench.data.shapes.rng import Stream
from bench.data.shapes.scene import Scene, render
from bench.data.shapes.sheet import contact_sheet
from bench.data.shapes.write import MARKER, make, scene_bytes
from bench.errors import BenchError
from bench.schema.data import ShapesCoco, ShapesVoc, Split, SplitCounts

FLAVOURS: tuple[Flavour, ...] = ("voc", "coco")
COUNTS = SplitCounts(train=12, tune=3, test=5)
VOC = ShapesVoc(kind="shapes-voc", side=64, images=COUNTS, difficult="crowd")
COCO = ShapesCoco(kind="shapes-coco", side=64, images=COUNTS)
PINNED = "c3774bcf217aee24512e033b01fedcd6b634a398d2be6b88af0eb154f51377e6"
"""Digest of 100 images. If it must change, raise bench.data.shapes.VERSION in the same commit."""


def pinned_scenes() -> Iterator[Scene]:
    """50 scenes of each flavour: sides that do and do not divide evenly, all splits, low and high numbers."""
    splits: tuple[Split, ...] = ("train", "tune", "test")
    sides = (128, 128, 128, 320, 97)
    for flavour in FLAVOURS:
        for i in range(50):
            yield render(flavour, sides[i % 5], splits[i % 3], i * i)


@pytest.fixture(scope="module")
def scenes() -> dict[Flavour, list[Scene]]:
    """The first 400 training scenes of each flavour at side 128."""
    return {flavour: [render(flavour, 128, "train", i) for i in range(400)] for flavour in FLAVOURS}


def test_pinned_pixels_and_boxes() -> None:
    digest = hashlib.sha256()
    for scene in pinned_scenes():
        digest.update(scene_bytes(scene))
    assert digest.hexdigest() == PINNED


def test_random_words_are_splitmix64() -> None:
    stream = Stream("any")
    stream._key = 1234567
    # The first outputs of Vigna's splitmix64.c from the state 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [stream.word() for _ in range(3)] == expected
    stream._count = 0
    assert stream.words(3).tolist() == expected
    following = stream.word()
    stream._count = 0
    assert stream.words(4).tolist() == [*expected, following]
    stream._count = 0
    assert stream.octets(3).tolist() == list(expected[0].to_bytes(8, "little")[:3])


def test_tables_agree_with_the_functions_that_they_replace() -> None:
    for step in range(-fixed.TURN, 2 * fixed.TURN):
        angle = 2 * math.pi * step / fixed.TURN
        assert abs(fixed.sine(step) - fixed.ONE * math.sin(angle)) <= 0.501
        assert abs(fixed.cosine(step) - fixed.ONE * math.cos(angle)) <= 0.501
    for k in range(80):
        assert 0 <= 2 ** (k / 16) * fixed.ONE - fixed.power(k) <= 1 << (k // 16)
        assert 0 <= 2 ** (-k / 16) * fixed.ONE - fixed.power(-k) <= 2


def test_coverage_is_exact_for_a_rectangle_and_sums_to_the_area() -> None:
    window = Window(1, 1, 9, 8)
    left, right, top, bottom = 2 * GRID + 16, 6 * GRID + 32, 3 * GRID, 5 * GRID
    box = [(left, top), (right, top), (right, bottom), (left, bottom)]
    cover = coverage(box, window)
    assert cover.shape == (7, 8)
    assert cover[2].tolist() == [0, FULL * 3 // 4, FULL, FULL, FULL, FULL // 2, 0, 0]
    assert cover.sum() == 2 * FULL * 4 + 2 * FULL // 4
    assert (coverage(box[::-1], window) == cover).all()
    assert coverage([(x - 4 * GRID, y) for x, y in box], window)[2].tolist() == [FULL, FULL // 2] + [0] * 6


@pytest.mark.parametrize("name", OUTLINES)
def test_outlines_are_star_shaped_around_their_core(name: str) -> None:
    points, (cx, cy) = OUTLINES[name]
    assert max(max(abs(x), abs(y)) for x, y in points) == UNIT
    turns = [
        (x0 - cx) * (y1 - cy) - (x1 - cx) * (y0 - cy)
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True)
    ]
    assert all(t > 0 for t in turns) or all(t < 0 for t in turns)


def test_scenes_are_independent_of_each_other_and_of_global_state(scenes: dict[Flavour, list[Scene]]) -> None:
    np.random.seed(1)
    alone = render("coco", 128, "train", 7)
    code = (
        "import hashlib; from bench.data.shapes.write import scene_bytes;"
        "from bench.data.shapes.scene import render;"
        "print(hashlib.sha256(scene_bytes(render('coco', 128, 'train', 7))).hexdigest())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert scene_bytes(alone) == scene_bytes(scenes["coco"][7])
    assert hashlib.sha256(scene_bytes(alone)).hexdigest() == fresh.stdout.strip()


def test_no_float_and_no_random_number_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a library's rounding or random numbers")

    for name in ("sin", "cos", "exp", "exp2", "power", "sqrt", "hypot", "arctan2", "round", "divide"):
        monkeypatch.setattr(np, name, forbidden)
    for name in ("rand", "randint", "normal", "random", "default_rng", "seed"):
        monkeypatch.setattr(np.random, name, forbidden)
    render("coco", 128, "tune", 0)
    kinds: set[str] = set()

    def watch(frame: Any, event: str, value: Any) -> Any:
        if "/shapes/" in frame.f_code.co_filename.replace("\\", "/"):
            kinds.update(v.dtype.kind for v in [*frame.f_locals.values(), value] if isinstance(v, np.ndarray))
            kinds.update("float" for v in [*frame.f_locals.values(), value] if isinstance(v, float))
        return watch

    sys.settrace(watch)
    try:
        for flavour in FLAVOURS:
            render(flavour, 64, "test", 3)
    finally:
        sys.settrace(None)
    assert kinds <= {"b", "i", "u"} and "i" in kinds


def test_splits_flavours_and_numbers_differ() -> None:
    seen = {
        scene_bytes(render(flavour, 64, split, index))
        for flavour in FLAVOURS
        for split in ("train", "tune", "test")
        for index in range(20)
    }
    assert len(seen) == 120


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_boxes_are_inside_and_hold_their_area(flavour: Flavour, scenes: dict[Flavour, list[Scene]]) -> None:
    for side, some in ((128, scenes[flavour]), (32, [render(flavour, 32, "train", i) for i in range(60)])):
        for scene in some:
            assert scene.pixels.shape == (side, side, 3) and scene.pixels.dtype == np.uint8
            for thing in scene.objects:
                x0, y0, x1, y1 = thing.box
                assert 0 <= x0 < x1 <= side and 0 <= y0 < y1 <= side
                assert 0 < thing.area <= (x1 - x0) * (y1 - y0)
                assert not (thing.crowd and flavour == "voc") and not (thing.difficult and flavour == "coco")
                assert 0 <= thing.label < len(class_names(flavour))


def test_boxes_are_tight_around_the_silhouette(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every side of a box touches its silhouette and none of the silhouette lies outside."""
    import bench.data.shapes.scene as module

    drawn: list[Any] = []
    original = module._draw
    monkeypatch.setattr(module, "_draw", lambda *a: drawn.append(original(*a)) or drawn[-1])
    for index in range(100):
        drawn.clear()
        boxes = [o.box for o in render("coco", 128, "test", index).objects]
        for x0, y0, x1, y1 in boxes:
            matching = [
                d.silhouette
                for d in drawn
                if d.silhouette[y0:y1, x0:x1].sum() == d.silhouette.sum()
                and d.silhouette[y0, x0:x1].any()
                and d.silhouette[y1 - 1, x0:x1].any()
                and d.silhouette[y0:y1, x0].any()
                and d.silhouette[y0:y1, x1 - 1].any()
            ]
            assert matching


def test_an_object_stands_out_from_its_background(scenes: dict[Flavour, list[Scene]]) -> None:
    """Inside a box the values spread more than in the empty scenes, whose only content is background."""
    inside = [
        float(scene.pixels[y0:y1, x0:x1].astype(int).reshape(-1, 3).std(axis=0).max())
        for scene in scenes["voc"]
        for (x0, y0, x1, y1) in [o.box for o in scene.objects]
    ]
    empty = [scene.pixels.reshape(-1, 3).std(axis=0).max() for scene in scenes["voc"] if not scene.objects]
    assert empty and np.median(inside) > 2 * np.median(empty)


class _Spread(NamedTuple):
    most: int
    """Objects of the fullest image."""
    mean: tuple[float, float]
    median_size: tuple[float, float]
    """Of the square root of an object's area over the side."""


SPREADS: dict[Flavour, _Spread] = {
    "voc": _Spread(8, (3.5, 5), (0.15, 0.22)),
    "coco": _Spread(8, (3, 5), (0.09, 0.18)),
}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_numbers_sizes_and_rare_cases(flavour: Flavour, scenes: dict[Flavour, list[Scene]]) -> None:
    spread = SPREADS[flavour]
    objects = [o for scene in scenes[flavour] for o in scene.objects if not o.crowd]
    per_image = [sum(not o.crowd for o in scene.objects) for scene in scenes[flavour]]
    assert max(per_image) == spread.most and spread.mean[0] < np.mean(per_image) < spread.mean[1]
    assert 1 <= per_image.count(0) <= 20
    sizes = sorted(math.sqrt(o.area) / 128 for o in objects)
    assert sizes[0] > 0.03 and sizes[-1] < 0.72
    assert spread.median_size[0] < sizes[len(sizes) // 2] < spread.median_size[1]
    assert sum(s > 0.3 for s in sizes) / len(sizes) > 0.1
    if flavour == "voc":
        assert 0.02 < sum(o.difficult for o in objects) / len(objects) < 0.15
    else:
        assert 5 <= sum(o.crowd for scene in scenes[flavour] for o in scene.objects) <= 40


@pytest.mark.parametrize(("flavour", "classes", "ratio"), [("voc", 20, 2), ("coco", 80, 20)])
def test_class_frequencies(flavour: Flavour, classes: int, ratio: int, scenes: dict[Flavour, list[Scene]]) -> None:
    names, weights = class_names(flavour), class_weights(flavour)
    assert len(set(names)) == len(weights) == classes
    assert ratio * 0.9 < max(weights) / min(weights) < ratio * 1.1
    found = Counter(o.label for scene in scenes[flavour] for o in scene.objects if not o.crowd)
    total = sum(found.values())
    for label, weight in enumerate(weights):
        expected = total * weight / sum(weights)
        assert abs(found[label] - expected) < 5 * math.sqrt(expected) + 1, names[label]


def decoded(path: Path) -> np.ndarray[Any, Any]:
    """Pixels of an image file."""
    with Image.open(path) as image:
        return np.asarray(image)


def test_voc_folder_reads_back(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    folder = make(VOC, tmp_path, lambda done, total: calls.append((done, total)))
    assert folder == tmp_path / "shapes-voc-64-12-3-5-v1" and calls == [(i, 20) for i in range(1, 21)]
    assert (folder / "ImageSets/Main/tune.txt").read_text() == "tune_000000\ntune_000001\ntune_000002\n"
    for name in (folder / "ImageSets/Main/train.txt").read_text().split():
        scene = render("voc", 64, "train", int(name[-6:]))
        root = ElementTree.parse(folder / f"Annotations/{name}.xml").getroot()
        assert (decoded(folder / "JPEGImages" / str(root.findtext("filename"))) == scene.pixels).all()
        read = [
            (
                o.findtext("name"),
                tuple(int(o.findtext(f"bndbox/{c}") or 0) for c in ("xmin", "ymin", "xmax", "ymax")),
                o.findtext("difficult") == "1",
            )
            for o in root.iter("object")
        ]
        names = class_names("voc")
        assert read == [
            (names[o.label], (o.box[0] + 1, o.box[1] + 1, o.box[2], o.box[3]), o.difficult) for o in scene.objects
        ]


def test_coco_folder_reads_back(tmp_path: Path) -> None:
    folder = make(COCO, tmp_path)
    assert folder.name == folder_name(COCO) == "shapes-coco-64-12-3-5-v1"
    coco = json.loads((folder / "annotations/instances_test.json").read_text())
    assert [c["name"] for c in coco["categories"]] == list(class_names("coco"))
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    for index, image in enumerate(coco["images"]):
        scene = render("coco", 64, "test", index)
        assert (decoded(folder / "test" / image["file_name"]) == scene.pixels).all()
        read = [
            (a["category_id"] - 1, a["bbox"], a["area"], a["iscrowd"])
            for a in coco["annotations"]
            if a["image_id"] == image["id"]
        ]
        assert read == [
            (o.label, [o.box[0], o.box[1], o.box[2] - o.box[0], o.box[3] - o.box[1]], o.area, int(o.crowd))
            for o in scene.objects
        ]


def test_a_whole_folder_is_not_written_again(tmp_path: Path) -> None:
    folder = make(VOC, tmp_path)
    before = (folder / MARKER).stat().st_mtime_ns
    assert make(VOC, tmp_path, lambda done, total: pytest.fail("written again")) == folder
    assert (folder / MARKER).stat().st_mtime_ns == before


def test_killed_half_way(tmp_path: Path) -> None:
    class KilledError(BaseException):
        pass

    def kill(done: int, total: int) -> None:
        if done == 7:
            raise KilledError

    with pytest.raises(KilledError):
        make(VOC, tmp_path, kill)
    assert not (tmp_path / folder_name(VOC)).exists()
    stale = tmp_path / f".{folder_name(VOC)}.partial"
    (stale / "JPEGImages/stranger.png").write_bytes(b"")
    folder = make(VOC, tmp_path)
    assert not stale.exists() and len(list(folder.glob("JPEGImages/*.png"))) == 20
    assert not (folder / "JPEGImages/stranger.png").exists()


@pytest.mark.parametrize("lost", [MARKER, "JPEGImages/train_000003.png"])
def test_a_damaged_folder_is_refused(tmp_path: Path, lost: str) -> None:
    folder = make(VOC, tmp_path)
    (folder / lost).unlink()
    with pytest.raises(BenchError, match="delete the folder"):
        make(VOC, tmp_path)


def test_two_processes_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        folders = pool.starmap(make, [(VOC, tmp_path)] * 2)
    assert folders == [tmp_path / folder_name(VOC)] * 2
    assert json.loads((folders[0] / MARKER).read_text())["images"] == 20


def test_planning_needs_no_array_library() -> None:
    code = "import sys, bench.data.shapes; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_contact_sheet(tmp_path: Path) -> None:
    contact_sheet("coco", 64, 7, tmp_path / "sheet.png")
    assert decoded(tmp_path / "sheet.png").shape == (520, 1300, 3)
