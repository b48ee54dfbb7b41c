"""What a dry run says is absent."""

from pathlib import Path

import pytest
from conftest import bench, make_root

from bench.data.load import absent_data, remedy_of
from bench.data.sets import DataSet
from bench.schema.data import CocoData, VocData

VOC = {"kind": "voc", "train": ["VOC2007/trainval", "VOC2012/trainval"], "test": ["VOC2007/test"], "difficult": "crowd"}


def test_every_absent_part_of_voc_is_named(tmp_path: Path) -> None:
    spec = VocData.model_validate({**VOC, "train": tuple(VOC["train"]), "test": tuple(VOC["test"]), "path": "voc"})
    lists = tmp_path / "voc" / "VOC2007" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("000001\n", encoding="utf-8")
    (tmp_path / "voc" / "VOC2007" / "Annotations").mkdir()
    found = absent_data(spec, tmp_path)
    assert [line.removeprefix(f"{tmp_path}/voc/") for line in found] == [
        "VOC2007/ImageSets/Main/trainval.txt: no such split list; there: train",
        "VOC2012/ImageSets/Main/trainval.txt: no such split list; there: no split lists",
        "VOC2007/ImageSets/Main/test.txt: no such split list; there: train",
        "VOC2007/JPEGImages: no such folder",
        "VOC2012/Annotations: no such folder",
        "VOC2012/JPEGImages: no such folder",
    ]


def test_every_absent_part_of_coco_is_named_once(tmp_path: Path) -> None:
    part = {"annotations": "a.json", "images": "pictures"}
    spec = CocoData.model_validate({"kind": "coco", "path": ".", "train": part, "test": {**part, "images": "test"}})
    (tmp_path / "test").mkdir()
    assert [line.removeprefix(f"{tmp_path}/") for line in absent_data(spec, tmp_path)] == [
        "a.json: no such file",
        "pictures: no such folder",
    ]
    (tmp_path / "pictures").mkdir()
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    assert absent_data(spec, tmp_path) == ()


def test_a_dry_run_names_each_absent_file_once(tmp_path: Path) -> None:
    done = bench(make_root(tmp_path), "run", "hqod/table1", "--tier", "paper", "--dry-run", expect=3)
    listed, _, mend = done.stdout.partition("absent, ")[2].partition("to mend: ")
    head, *absent = listed.splitlines()
    assert "`qdet-bench data get voc2007-test`" in mend and "`qdet-bench data get voc2012-trainval`" in mend
    assert int(head.removesuffix(":")) == len(absent) == len(set(absent)) == 10
    for part in ("voc2007-trainval", "voc2012-trainval", "voc2007-test"):
        assert sum(part in line for line in absent) == 3
    assert "resnet18-5c106cde.pth" in absent[-1] and "sha256 5c106cde" in absent[-1]


def test_the_mend_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDET_SHARED", raising=False)
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data/bccd.dvc").touch()
    path = "${QDET_SHARED:-../shared}/data/bccd"
    spec = VocData.model_validate({**VOC, "train": ("train",), "test": ("test",), "path": path})
    assert remedy_of(spec, root, absent_data(spec, root)) == (
        "run `qdet-bench data get bccd` and set QDET_SHARED=.; or set QDET_SHARED to the folder that holds data/bccd"
    )
    own = spec.model_copy(update={"path": "${MINE}/photos"})
    monkeypatch.setenv("MINE", str(tmp_path))
    assert remedy_of(own, root, absent_data(own, root)) == "set MINE to the folder that holds photos"
    plain = spec.model_copy(update={"path": "photos"})
    assert remedy_of(plain, root, absent_data(plain, root)) is None
    assert remedy_of(plain, root, ()) is None


def test_a_set_whose_files_are_absent_is_listed_so(tmp_path: Path) -> None:
    """The folder alone is no data set."""
    spec = VocData.model_validate({**VOC, "train": ("train",), "test": ("test",), "path": "photos"})
    (tmp_path / "photos").mkdir()
    assert "train.txt: no such split list" in (DataSet("photos", spec, tmp_path).absent or "")
