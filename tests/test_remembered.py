"""Planning remembers the fingerprint of large annotation files, and nothing else trusts what it remembers."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from bench.data import coco_kind, remembered
from bench.data.load import fingerprint, planned_data
from bench.engine import execute
from bench.errors import BenchError
from bench.schema.data import CocoData, CocoSplit

SPEC = CocoData(
    kind="coco",
    path="data",
    train=CocoSplit(annotations="train.json", images="images"),
    test=CocoSplit(annotations="test.json", images="images"),
)
OLD = time.time() - 60


def write(path: Path, names: list[str], when: float = OLD) -> None:
    """An annotation file of these images, last changed a minute ago."""
    images = [{"id": n, "file_name": name, "width": 8, "height": 8} for n, name in enumerate(names, start=1)]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": [{"id": 1, "name": "a"}]}))
    os.utime(path, (when, when))


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The annotation files that were read, in order; below `tmp_path` a data set of two splits."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "data" / "images" / name)
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}.json", ["a.png", "b.png", "absent.png"])
    monkeypatch.setattr(remembered, "LEAST_BYTES", 0)
    found: list[str] = []
    add = coco_kind._add_split

    def counted(digest: coco_kind.Digest, part: remembered.Part) -> None:
        found.append(part.file.name)
        add(digest, part)

    monkeypatch.setattr(coco_kind, "_add_split", counted)
    return found


def test_the_second_planning_reads_nothing(tmp_path: Path, searched: list[str]) -> None:
    pins, orders = map(set, zip(*(planned_data(SPEC, tmp_path) for _ in range(3)), strict=True))
    assert searched == ["train.json", "test.json"]
    assert pins == {fingerprint(SPEC, tmp_path)} and len(searched) == 4, "results rest on the content itself"
    assert len(orders) == 1, "a note gives the order that the files gave"


@pytest.mark.parametrize("what", ["time", "content", "inode", "image size", "image added", "image gone", "young"])
def test_whatever_changes_is_read_again(tmp_path: Path, searched: list[str], what: str) -> None:
    file, images = tmp_path / "data" / "train.json", tmp_path / "data" / "images"
    if what == "young":
        os.utime(file)
    planned_data(SPEC, tmp_path)
    if what == "time":
        os.utime(file, (OLD + 1, OLD + 1))
    elif what == "content":
        write(file, ["a.png"])
    elif what == "inode":
        other = tmp_path / "other"
        write(other, ["a.png", "b.png", "ABSENT.png"])
        other.replace(file)
    elif what == "image size":
        (images / "a.png").write_bytes(b"another")
    elif what == "image added":
        (images / "absent.png").write_bytes(b"there")
    elif what == "image gone":
        (images / "b.png").unlink()
    searched.clear()
    assert planned_data(SPEC, tmp_path).pin == fingerprint(SPEC, tmp_path)
    assert searched == ["train.json", "test.json"] * 2


def test_small_files_leave_no_note(tmp_path: Path, searched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LEAST_BYTES", 1 << 20)
    planned_data(SPEC, tmp_path)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3, "names": [], "images": "", "pin": ""}'])
def test_a_note_that_is_none_is_not_believed(tmp_path: Path, searched: list[str], text: str) -> None:
    pin = planned_data(SPEC, tmp_path).pin
    (note,) = (tmp_path / "results").rglob("*.json")
    note.write_text(text)
    searched.clear()
    assert planned_data(SPEC, tmp_path).pin == pin and len(searched) == 2


def test_a_job_refuses_data_that_changed_since_they_were_planned(tmp_path: Path, searched: list[str]) -> None:
    pin = planned_data(SPEC, tmp_path).pin
    order = SimpleNamespace(protocol=SimpleNamespace(data=SPEC, pin=pin), root=tmp_path)
    execute._refuse_changed(order)  # type: ignore[arg-type]
    write(tmp_path / "data" / "test.json", ["b.png"])
    with pytest.raises(BenchError, match="the data have changed since they were planned"):
        execute._refuse_changed(order)  # type: ignore[arg-type]
