"""What identifies data, and the paths it is found by."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.data import shapes
from bench.data.load import fingerprint
from bench.data.paths import Listing, expand
from bench.errors import BenchError, UsageError
from bench.schema.data import CocoData, CocoSplit, ShapesCoco, ShapesVoc, SplitCounts, VocData

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
VOC = VocData(kind="voc", path="data", train=("train",), test=("test",), difficult="crowd")
COCO = CocoData(
    kind="coco",
    path="data",
    train=CocoSplit(annotations="a.json", images="images"),
    test=CocoSplit(annotations="b.json", images="images"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One folder that is a VOC directory and COCO JSON at once."""
    folder = tmp_path / "one" / "data"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main", "images/sub"):
        (folder / name).mkdir(parents=True)
    for id_, split in (("a", "train"), ("b", "test"), ("unlisted", "other")):
        Image.new("RGB", (8, 8)).save(folder / f"JPEGImages/{id_}.png")
        (folder / f"Annotations/{id_}.xml").write_text(f"<annotation><filename>{id_}.png</filename></annotation>")
        (folder / f"ImageSets/Main/{split}.txt").write_text(f"{id_}\n")
        Image.new("RGB", (8, 8)).save(folder / f"images/sub/{id_}\u00fc.png")
        images = [{"id": 1, "file_name": f"sub/{id_}\u00fc.png", "width": 8, "height": 8}]
        (folder / f"{id_}.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return folder.parent


def appended(path: str) -> Callable[[Path], object]:
    return lambda data: (data / path).open("ab").write(b" \n")


@pytest.mark.parametrize("spec", [VOC, COCO])
def test_a_copy_elsewhere_is_the_same_data(root: Path, tmp_path: Path, spec: VocData | CocoData) -> None:
    before = fingerprint(spec, root)
    assert before.startswith("sha256:") and len(before) == 71
    shutil.copytree(root, tmp_path / "two")
    assert fingerprint(spec, tmp_path / "two") == before
    absolute = spec.model_copy(update={"path": str(root / "data")})
    assert fingerprint(absolute, tmp_path) == before


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (VOC, appended("Annotations/a.xml")),
        (VOC, appended("JPEGImages/b.png")),
        (VOC, appended("ImageSets/Main/test.txt")),
        (VOC, lambda data: (data / "JPEGImages/a.png").rename(data / "JPEGImages/a.PNG")),
        (VOC, lambda data: (data / "JPEGImages/a.png").unlink()),
        (VOC, lambda data: (data / "Annotations/a.xml").unlink()),
        (COCO, appended("a.json")),
        (COCO, appended("images/sub/b\u00fc.png")),
        (COCO, lambda data: (data / "images/sub/a\u00fc.png").unlink()),
    ],
)
def test_a_change_of_the_data_shows(root: Path, spec: VocData | CocoData, change: Callable[[Path], object]) -> None:
    before = fingerprint(spec, root)
    change(root / "data")
    assert fingerprint(spec, root) != before


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (VOC, appended("Annotations/unlisted.xml")),
        (VOC, appended("JPEGImages/unlisted.png")),
        (VOC, lambda data: (data / "JPEGImages/Thumbs.db").touch()),
        (COCO, appended("images/sub/unlisted\u00fc.png")),
    ],
)
def test_what_is_not_read_does_not_count(
    root: Path, spec: VocData | CocoData, change: Callable[[Path], object]
) -> None:
    before = fingerprint(spec, root)
    change(root / "data")
    assert fingerprint(spec, root) == before


def test_splits_are_part_of_it(root: Path) -> None:
    assert fingerprint(VOC, root) != fingerprint(VOC.model_copy(update={"tune": ("other",)}), root)
    swapped = COCO.model_copy(update={"train": COCO.test, "test": COCO.train})
    assert fingerprint(COCO, root) != fingerprint(swapped, root)


@pytest.mark.parametrize(
    ("spec", "gone", "message"),
    [
        (VOC, "ImageSets/Main/test.txt", r"test\.txt: no such split list"),
        (VOC, "JPEGImages", "JPEGImages: no such folder"),
        (COCO, "b.json", r"b\.json: no such file"),
        (COCO, "images", "images: no such folder"),
    ],
)
def test_absent_data_are_named(root: Path, spec: VocData | CocoData, gone: str, message: str) -> None:
    path = root / "data" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BenchError, match=message):
        fingerprint(spec, root)


def test_an_empty_json_is_an_error(root: Path) -> None:
    (root / "data/a.json").write_bytes(b"")
    with pytest.raises(BenchError, match=r"a\.json"):
        fingerprint(COCO, root)


def test_shapes_are_identified_without_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = SplitCounts(train=6000, test=600)
    voc = ShapesVoc(kind="shapes-voc", side=128, images=counts, difficult="crowd")
    prints = [
        fingerprint(voc, tmp_path),
        fingerprint(voc.model_copy(update={"side": 96}), tmp_path),
        fingerprint(voc.model_copy(update={"images": SplitCounts(train=6000, test=601)}), tmp_path),
        fingerprint(ShapesCoco(kind="shapes-coco", side=128, images=counts), tmp_path),
    ]
    monkeypatch.setattr(shapes, "VERSION", shapes.VERSION + 1)
    prints.append(fingerprint(voc, tmp_path))
    assert len(set(prints)) == 5
    assert not list(tmp_path.iterdir())


def test_nothing_slow_is_imported(root: Path) -> None:
    """`plan` answers within a second, so neither arrays nor images may come in."""
    code = (
        "import sys; from pathlib import Path; from bench.data.load import fingerprint; "
        "from bench.schema.data import *; "
        "counts = SplitCounts(train=1, test=1); "
        "fingerprint(ShapesCoco(kind='shapes-coco', side=64, images=counts), Path('.')); "
        "voc = VocData(kind='voc', path='data', train=('train',), test=('test',), difficult='drop'); "
        "fingerprint(voc, Path('.')); "
        "print(sorted({'numpy', 'torch', 'PIL', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(not (SHARED / "data/bccd").is_dir(), reason="the real data are not here (set QDET_SHARED)")
def test_real_data() -> None:
    bccd = VOC.model_copy(update={"path": "data/bccd"})
    part = CocoSplit(annotations="instances.json", images="images")
    coco = CocoData(kind="coco", path="data/coco_val2017_free", train=part, test=part)
    assert len({fingerprint(spec, SHARED) for spec in (bccd, coco)}) == 2


def test_expand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDET_A", "/data/${QDET_B}")
    monkeypatch.setenv("QDET_EMPTY", "")
    monkeypatch.delenv("QDET_B", raising=False)
    root = Path("/base")
    assert expand("voc/$HOME/~", root) == Path("/base/voc/$HOME/~")
    assert expand("/abs", root) == Path("/abs")
    assert expand("${QDET_A}/x", root) == Path("/data/${QDET_B}/x"), "a value is not expanded again"
    assert expand("${QDET_B:-data/voc}/x", root) == Path("/base/data/voc/x")
    assert expand("${QDET_EMPTY:-a b}-${QDET_B:-}", root) == Path("/base/a b-")


@pytest.mark.parametrize(
    "path", ["${QDET_B}", "x/${QDET_EMPTY}/y", "${}", "${1A}", "${A", "${A:+b}", "${A${B}}", "a\0b"]
)
def test_expand_refuses(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDET_EMPTY", "")
    monkeypatch.delenv("QDET_B", raising=False)
    with pytest.raises(UsageError):
        expand(path, Path("/base"))


def test_of_several_suffixes_the_first_is_taken(tmp_path: Path) -> None:
    for name in ("a.png", "a.JPG", "a.txt", "a.b.bmp", "a"):
        (tmp_path / name).touch()
    (tmp_path / "c.jpg").mkdir()
    listing = Listing(tmp_path)
    assert listing.image_of("a") == "a.JPG"
    assert listing.image_of("a.b") == "a.b.bmp"
    assert listing.image_of("c") is None and not listing.has("c.jpg"), "a folder is not an image"
    assert listing.has("./a.png") and not listing.has("sub/a.png") and not listing.has("")
