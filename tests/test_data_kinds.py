"""A form of data is one object: what a new one touches, and that one added from outside is read, named and planned."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from factories import job_of, located
from PIL import Image

from bench.data.dataset import Dataset
from bench.data.kind import Digest, FolderKind
from bench.data.load import KINDS, absent_data, fingerprint, load
from bench.data.sets import data_sets
from bench.data.verify import verify
from bench.report.make import make_table
from bench.schema.base import Spec
from bench.schema.data import Split

PACKAGE = Path(__file__).parents[1] / "bench"


class CsvData(Spec):
    """What a suite would say: a folder with one CSV for each split, a line a box."""

    kind: Literal["csv"] = "csv"
    path: str
    train: str = "train.csv"
    tune: str | None = None
    test: str = "test.csv"
    classes: tuple[str, ...] | None = None


class CsvKind(FolderKind[CsvData]):
    """Lines such as `a.png,1,2,3,4`."""

    usual_classes = 1

    def __init__(self, spec: CsvData, root: Path) -> None:
        super().__init__(spec, root)
        self.path = spec.path

    @property
    def title(self) -> str:
        return f"{self.short_name} (CSV form)"

    @property
    def class_count(self) -> int | None:
        return 1

    def absent(self) -> tuple[str, ...]:
        files = [self.folder / name for name in (self.spec.train, self.spec.test)]
        return tuple(f"{file}: no such file" for file in files if not file.exists())

    def identify(self, digest: Digest) -> None:
        digest.add(*((self.folder / name).read_bytes() for name in (self.spec.train, self.spec.test)))

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        lines = (self.folder / getattr(self.spec, split)).read_text().split()
        images, annotations = [], []
        for number, line in enumerate(lines, start=1):
            name, *box = line.split(",")
            images.append({"id": number, "file_name": name, "width": 64, "height": 48})
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [*map(float, box)],
                    "area": 1,
                    "iscrowd": 0,
                }
            )
        coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
        return Dataset(split, self.folder, coco)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CsvData:
    monkeypatch.setitem(KINDS, CsvData, CsvKind)
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "mine" / "a.png")
    for split in ("train", "test"):
        (tmp_path / "mine" / f"{split}.csv").write_text("a.png,1,2,3,4\n")
    return CsvData(path="mine")


def test_a_kind_from_outside_is_read_named_and_planned(data: CsvData, tmp_path: Path) -> None:
    suite = located(tmp_path)
    tier = suite.suite.tiers["mini"].model_copy(update={"data": data})
    suite = replace(suite, suite=suite.suite.model_copy(update={"tiers": {"mini": tier}}))
    assert load(data, "test", tmp_path, tmp_path).counts()["boxes"] == 1  # type: ignore[arg-type]
    (entry,) = data_sets([suite], tmp_path)
    assert entry.facts() == {"name": "mine", "kind": "csv", "absent": None, "used_by": ["toy/table1:mini"]}
    assert [(one.split, one.readable) for one in verify(entry, lambda done, total: None)] == [
        ("train", True),
        ("test", True),
    ]
    job = job_of(suite, "fp")
    assert job.blocked is None
    assert job.protocol["data"] == {
        "kind": "csv",
        "train": "train.csv",
        "test": "test.csv",
        "pin": job_pin(data, tmp_path),
    }
    assert "mine (CSV form)" in make_table(suite, "mini", committed=False).data
    (tmp_path / "mine" / "test.csv").unlink()
    blocked = job_of(suite, "fp").blocked
    assert blocked == f"{tmp_path}/mine/test.csv: no such file" and absent_data(data, tmp_path)  # type: ignore[arg-type]


def job_pin(data: CsvData, root: Path) -> str:
    pin = fingerprint(data, root)  # type: ignore[arg-type]
    (root / "mine" / "test.csv").write_text("a.png,1,2,3,5\n")
    assert fingerprint(data, root) != pin  # type: ignore[arg-type]
    return pin


def test_what_names_a_kind() -> None:
    """Beside its specification, its class and its tests, a new kind touches the registry alone."""
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if "VocData" in p.read_text("utf-8")}
    assert found == {
        "data/load.py",
        "data/shapes_kind.py",  # writes its scenes in this form
        "data/voc.py",
        "data/voc_kind.py",
        "schema/data.py",
    }


def test_a_folder_is_called_by_its_own_name(tmp_path: Path) -> None:
    for path, name in (("/a/b/mine", "mine"), ("${HOME}", "${HOME}"), ("${X:-a/b}/c", "c")):
        assert CsvKind(CsvData(path=path), tmp_path).short_name == name
