"""`du` and `gc`: what the store takes, and that nothing goes which a suite needs."""

import fcntl
import json
import sys
from pathlib import Path

import pytest
from factories import NAME, job_of, located, measure_all, store_record, suite_data

from bench.cli.main import main
from bench.plan.jobs import Job, plan
from bench.records.store import JobFolder, Store
from bench.schema.load import Located

Capture = pytest.CaptureFixture[str]
OTHER = "toy/other"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Located:
    """A suite whose jobs have their records, predictions and checkpoints."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = located(tmp_path)
    measure_all(found)
    for row in ("fp", "fp-ft", "lsq"):
        fill(folder_of(found, job_of(found, row)))
    return found


def folder_of(suite: Located, job: Job) -> JobFolder:
    return Store(suite.root).folder(job.identity)


def fill(folder: JobFolder) -> None:
    folder.predictions.write_bytes(b"p" * 1000)
    folder.checkpoint.write_bytes(b"c" * 2000)


def another_rate(suite: Located, name: str = NAME) -> Located:
    data = suite_data()
    data["tiers"]["mini"]["recipes"]["short"]["optimizer"]["lr"] = 0.5
    return located(suite.root, data, name)


def gc(suite: Located, capsys: Capture, *options: str) -> dict[str, object]:
    assert main(["--root", str(suite.root), "gc", "--json", *options]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def paths(found: dict[str, object]) -> set[str]:
    return {Path(one["path"]).name for one in found["unused"]}  # type: ignore[attr-defined]


def test_du_counts_each_kind(suite: Located, capsys: Capture) -> None:
    snapshot = folder_of(suite, job_of(suite, "fp")).work / "snapshot.pth"
    elsewhere = [suite.root / name for name in ("results/local/images/a.json", "data/shapes/x/a.png")]
    for file in (snapshot, *elsewhere, suite.root / "results/local/logs/tensorboard/x/events"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 10)
    assert main(["--root", str(suite.root), "du", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    kinds = found["kinds"]
    assert (kinds["predictions"], kinds["checkpoints"]) == ({"files": 3, "bytes": 3000}, {"files": 3, "bytes": 6000})
    filled = ("snapshots", "curves", "notes", "drawings", "submitted")
    assert [kinds[kind]["bytes"] for kind in filled] == [10, 10, 10, 10, 0]
    files = [p for name in ("results/local", "data/shapes") for p in (suite.root / name).rglob("*") if p.is_file()]
    assert found["total"] == {"files": len(files), "bytes": sum(p.stat().st_size for p in files)}
    assert main(["--root", str(suite.root), "du"]) == 0
    assert "checkpoints" in (text := capsys.readouterr().out) and text.splitlines()[-1].startswith("total")


def test_what_suites_need_stays(suite: Located, capsys: Capture) -> None:
    assert gc(suite, capsys, "--delete", "--gone") == {"deleted": True, "unused": [], "kept": {}}
    for row in ("fp", "fp-ft", "lsq"):
        assert folder_of(suite, job_of(suite, row)).checkpoint.exists()


def test_what_no_suite_asks_for_goes_on_request(suite: Located, capsys: Capture) -> None:
    old = {row: folder_of(suite, job_of(suite, row)) for row in ("fp", "fp-ft", "lsq")}
    new = another_rate(suite)
    store_record(new, job_of(new, "fp"))
    names = {folder.path.name for folder in old.values()}
    assert paths(gc(new, capsys)) == names and all(folder.record_file.exists() for folder in old.values())
    assert main(["--root", str(new.root), "gc"]) == 0
    text = capsys.readouterr().out
    assert "toy/table1 mini asks for it no longer" in text and "`qdet-bench gc --delete` removes them" in text
    assert paths(gc(new, capsys, "--delete")) == names
    assert not any(folder.path.exists() for folder in old.values())
    assert folder_of(new, job_of(new, "fp")).record_file.exists()
    assert main(["--root", str(new.root), "gc"]) == 0
    assert capsys.readouterr().out == "nothing is unused\n"


def test_another_suite_or_tier_may_need_it(suite: Located, capsys: Capture) -> None:
    another_rate(suite)
    located(suite.root, suite_data(), OTHER)
    assert paths(gc(suite, capsys, "--delete")) == set()


def test_further_repetitions_stay(tmp_path: Path, capsys: Capture) -> None:
    suite = located(tmp_path)
    jobs = plan(suite, "mini", ("lsq",), seeds=3)
    for job in jobs:
        store_record(suite, job)
    assert suite.suite.tiers["mini"].seeds < 3 < len(jobs) and paths(gc(suite, capsys)) == set()


def test_records_of_suites_that_are_gone_stay_unless_asked_for(suite: Located, capsys: Capture) -> None:
    names = {folder_of(suite, job_of(suite, row)).path.name for row in ("fp", "fp-ft", "lsq")}
    another_rate(suite, OTHER)
    suite.path.unlink()
    found = gc(suite, capsys)
    assert found["unused"] == [] and found["kept"] == {f"suite {NAME} is not here (--gone takes it too)": 3}
    assert paths(gc(suite, capsys, "--gone")) == names


def test_what_runs_or_cannot_be_read_stays(suite: Located, capsys: Capture) -> None:
    folder = folder_of(suite, job_of(suite, "lsq"))
    folder_of(suite, job_of(suite, "fp")).record_file.write_text("{")
    new = another_rate(suite)
    with folder.lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        found = gc(new, capsys, "--delete")
    assert found["kept"] == {"running": 1, "neither its record nor its order can be read": 1}
    assert folder.record_file.exists()
    assert len(paths(found)) == 1


def test_on_absent_data_everything_stays(tmp_path: Path, capsys: Capture) -> None:
    """The identity of a job hangs on its data, so nobody knows what a suite needs whose data are away."""
    data = suite_data()
    (tmp_path / "mine").mkdir()
    part = {"annotations": "a.json", "images": "."}
    data["tiers"]["mini"]["data"] = {"kind": "coco", "path": "mine", "train": part, "test": part}
    suite = located(tmp_path, data)
    store_record(suite, job_of(suite, "fp"))
    data["tiers"]["mini"]["recipes"]["short"]["length"] = 5
    changed = located(tmp_path, data)
    found = gc(changed, capsys, "--delete")
    assert found["unused"] == [] and "its data are absent" in next(iter(found["kept"]))  # type: ignore[call-overload]


def test_leftovers_and_drawings(suite: Located, capsys: Capture) -> None:
    folder = folder_of(suite, job_of(suite, "fp"))
    folder.work.mkdir()
    (folder.work / "snapshot.pth").write_bytes(b"x")
    (folder.path / ".record.json.0123456789ab.part").write_bytes(b"x")
    drawings = suite.root / "data/shapes"
    declared = "shapes-voc-64-8-0-4-v1"
    for name in (declared, "shapes-voc-96-8-0-4-v1", "shapes-coco-64-9-0-4-v1"):
        (drawings / name).mkdir(parents=True)
        (drawings / name / "shapes.json").write_text("{}")
    data = suite_data()
    data["tiers"]["mini"]["data"] = {
        "kind": "voc",
        "path": "data/shapes/shapes-voc-96-8-0-4-v1",
        "train": ["a"],
        "test": ["b"],
        "difficult": "crowd",
    }
    located(suite.root, data, OTHER)
    (drawings / "mine").mkdir()
    found = gc(suite, capsys, "--delete")
    assert paths(found) == {"work", ".record.json.0123456789ab.part", "shapes-coco-64-9-0-4-v1"}
    assert {path.name for path in drawings.iterdir()} == {declared, "shapes-voc-96-8-0-4-v1", "mine"}
    assert folder.record_file.exists() and folder.checkpoint.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["gc", "--yes"], "unrecognized arguments: --yes"),
        (["gc", "hqod/table1"], "unrecognized arguments: hqod/table1"),
        (["du", "--delete"], "unrecognized arguments: --delete"),
        (["du", "x"], "unrecognized arguments: x"),
        (["gc", "--root", "/nowhere"], "--root /nowhere: no such folder"),
        (["gc", "--root", "empty"], "empty/suites: there are no suites"),
        (["gc", "--root", "wrong"], "wrong/suites/x.yaml:1: "),
    ],
)
def test_wrong_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, options: list[str], words: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong/suites").mkdir(parents=True)
    (tmp_path / "wrong/suites/x.yaml").write_text("title: 3\n")
    try:
        code = main(options)
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
