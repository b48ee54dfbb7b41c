"""The stored form of detections: rounding, order, digest, file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.evaluation import packing
from bench.evaluation.predictions import Predictions

PINNED = "63e1bd2fc46cd483d153683861b3cb79245600c21584c3ebea1a731eb9766a4c"

FEW = [
    {"image_id": 9, "category_id": 2, "bbox": [1.0, 2.5, 3.0625, 4.03], "score": 0.9},
    {"image_id": -(2**40), "category_id": 1, "bbox": [-5.1, 0, 0, 1e6], "score": -0.0},
    {"image_id": 9, "category_id": 2, "bbox": [0.03125, 0.09375, 7, 8], "score": 1e-30},
]


def noise(count: int = 60_000, images: int = 600) -> Predictions:
    """Independent boxes and scores: what nothing can compress well."""
    r = np.random.default_rng(0)
    size = r.uniform(4, 80, (count, 2))
    box = np.concatenate([r.uniform(0, 1, (count, 2)) * (128 - size), size], axis=1)
    score = -np.sort(-r.beta(0.3, 4, (images, count // images)), axis=1).reshape(-1)
    image = np.repeat(np.arange(images), count // images)
    return Predictions.from_arrays(image, r.integers(0, 20, count), box, score)


def detector(images: int = 600, each: int = 100) -> Predictions:
    """Boxes around a few objects, each for two categories, as a dense head without objectness has them."""
    r = np.random.default_rng(0)
    boxes, categories = [], []
    for _ in range(images):
        objects = np.concatenate([r.uniform(0, 80, (8, 2)), r.uniform(6, 48, (8, 2))], axis=1)
        anchors = np.abs(objects[r.integers(0, 8, each // 2)] + r.normal(0, 3, (each // 2, 4)))
        boxes.append(anchors[r.permutation(np.repeat(np.arange(each // 2), 2))])
        categories.append(r.choice(20, each, p=r.dirichlet(np.full(20, 0.2))))
    score = -np.sort(-r.beta(0.3, 4, (images, each)), axis=1).reshape(-1)
    image = np.repeat(np.arange(images), each)
    return Predictions.from_arrays(image, np.concatenate(categories), np.concatenate(boxes), score)


@pytest.mark.parametrize("predictions", [Predictions.from_coco(FEW), Predictions.from_coco([]), noise(6000)])
def test_round_trip(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "p.bin"
    predictions.save(path)
    loaded = Predictions.load(path)
    pairs: list[tuple[Any, Any]] = list(zip(predictions.columns, loaded.columns, strict=True))
    for left, right in pairs:
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()
    assert loaded.digest() == predictions.digest()
    assert loaded.to_coco() == predictions.to_coco()
    assert len(loaded) == len(predictions)
    assert [p.name for p in tmp_path.iterdir()] == ["p.bin"]


def test_rounding_and_order() -> None:
    stored = Predictions.from_coco(FEW).to_coco()
    assert [d["image_id"] for d in stored] == [9, -(2**40), 9]
    assert stored[0]["bbox"] == [1.0, 2.5, 3.0625, 4.0]
    assert stored[1]["bbox"] == [-5.125, 0.0, 0.0, 1e6]
    assert stored[2]["bbox"] == [0.0, 0.125, 7.0, 8.0], "halves go to the even sixteenth"
    assert stored[0]["score"] == float(np.float32(0.9))
    assert str(stored[1]["score"]) == "0.0"
    assert [type(v) for v in stored[0].values()] == [int, int, list, float]


def test_digest_is_pinned() -> None:
    assert Predictions.from_coco(FEW).digest() == PINNED
    content = b"qdet-bench predictions 1\n" + (0).to_bytes(8, "little")
    assert Predictions.from_coco([]).digest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score"])
def test_digest_sees_every_column_and_the_order(key: str) -> None:
    other = {"image_id": 8, "category_id": 3, "bbox": [1.0, 2.5, 3.0625, 4.1], "score": 0.90001}
    changed = Predictions.from_coco([{**FEW[0], key: other[key]}, *FEW[1:]])
    assert changed.digest() != Predictions.from_coco(FEW).digest()
    assert Predictions.from_coco(FEW[::-1]).digest() != Predictions.from_coco(FEW).digest()


def test_size_of_600_images_with_100_detections_each() -> None:
    assert len(packing.pack(detector().columns)) < 400_000
    # Pure noise has about 8.1 bytes of information a detection; nothing brings it below.
    assert len(packing.pack(noise().columns)) < 8.9 * 60_000


def test_every_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.bin"
    Predictions.from_coco(FEW).save(path)
    whole = path.read_bytes()
    damaged = [whole[:cut] for cut in range(len(whole))] + [whole + b"x", b"not ours" * 99]
    damaged += [whole[:i] + bytes([whole[i] ^ 0x15]) + whole[i + 1 :] for i in range(len(whole))]
    for content in damaged:
        path.write_bytes(content)
        try:
            loaded = Predictions.load(path)
        except BenchError as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
        else:  # a bit that the compressed form does not use
            assert loaded.digest() == PINNED


def test_a_well_formed_file_with_impossible_content(tmp_path: Path) -> None:
    columns = Predictions.from_coco(FEW).columns
    bad = [columns._replace(score=columns.score * np.float32("nan")), columns._replace(box=-columns.box)]
    for case in bad:
        (tmp_path / "p.bin").write_bytes(packing.pack(case))
        with pytest.raises(BenchError, match=r"p\.bin: detection \d: its .*; make the predictions again"):
            Predictions.load(tmp_path / "p.bin")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    columns = Predictions.from_coco(FEW[:1]).columns
    packed = bytearray(packing.pack(columns))
    packed[8:16] = (2**62).to_bytes(8, "little")
    (tmp_path / "p.bin").write_bytes(packed)
    with pytest.raises(BenchError, match="number of detections is impossible"):
        Predictions.load(tmp_path / "p.bin")


def test_absent_and_unwritable(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.bin: cannot be read: No such file"):
        Predictions.load(tmp_path / "none.bin")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BenchError, match=r"p\.bin: cannot be written: Not a directory"):
        Predictions.from_coco(FEW).save(tmp_path / "file" / "folder" / "p.bin")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.bin"
    Predictions.from_coco(FEW).save(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BenchError, match="No space left"):
        Predictions.from_coco([]).save(path)
    assert Predictions.load(path).digest() == PINNED
    assert [p.name for p in tmp_path.iterdir()] == ["p.bin"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bbox": [float("nan"), 0, 1, 1]}, "detection 1: its box is not finite, or too large"),
        ({"bbox": [0, 0, float("inf"), 1]}, "detection 1: its box is not finite, or too large"),
        ({"bbox": [2e8, 0, 1, 1]}, "detection 1: its box is not finite, or too large"),
        ({"bbox": [0, 0, 1, -1]}, "detection 1: its width or height is negative"),
        ({"score": float("nan")}, "detection 1: its score is not finite"),
        ({"score": 1e39}, "detection 1: its score is not finite"),
        ({"category_id": 2**31}, "id of a detection is too large"),
        ({"image_id": 2**63}, "id of a detection is too large"),
    ],
)
def test_impossible_detections(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(BenchError, match=expected):
        Predictions.from_coco([FEW[0], {**FEW[1], **change}])


px = st.floats(-1e6, 1e6)
side = st.floats(0, 1e6)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "image_id": st.integers(-(2**63), 2**63 - 1),
            "category_id": st.integers(-(2**31), 2**31 - 1),
            "bbox": st.tuples(px, px, side, side).map(list),
            "score": st.floats(-1e30, 1e30),
        }
    ),
    max_size=20,
)


@given(rows)
@settings(max_examples=150, deadline=None)
def test_rounding_is_close_idempotent_and_lossless_on_disk(detections: list[dict[str, Any]]) -> None:
    predictions = Predictions.from_coco(detections)
    stored = predictions.to_coco()
    for given_one, kept in zip(detections, stored, strict=True):
        assert (kept["image_id"], kept["category_id"]) == (given_one["image_id"], given_one["category_id"])
        assert all(abs(a - b) <= 1 / 32 for a, b in zip(given_one["bbox"], kept["bbox"], strict=True))
        assert kept["score"] == np.float32(given_one["score"])
    assert Predictions.from_coco(stored).digest() == predictions.digest()
    assert packing.digest(packing.unpack(packing.pack(predictions.columns))).hex() == predictions.digest()
