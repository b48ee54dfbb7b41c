"""Runs of many seeds on several days: what was accepted earlier stays, and `restore` lets `run` go on there."""

import hashlib
from pathlib import Path

import pytest
from conftest import SUITE, bench, make_root
from factories import job_of, located, measure_all, store_record, suite_data

from bench.cli.main import main
from bench.errors import BenchError
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.report.make import make_table
from bench.schema.load import Located
from bench.verdict.baseline import accept, load
from bench.verdict.gather import gather
from bench.verdict.restore import keep_checkpoints, kept_checkpoint, restore, restore_starts

WEIGHTS = b"weights of the start"


def runs(suite: Located, row: str) -> list[int]:
    return [j.job.repetition for j in gather(suite, "mini").jobs if j.job.row.id == row and j.record is not None]


def measure(suite: Located, row: str, *repetitions: int) -> None:
    for job in plan(suite, "mini", (row,), seeds=max(repetitions) + 1):
        if job.row.id == row and job.repetition in repetitions:
            store_record(suite, job, 0.5 + job.repetition / 100, checkpoint_sha256=hashlib.sha256(WEIGHTS).hexdigest())
            Store(suite.root).folder(job.identity).checkpoint.write_bytes(WEIGHTS)


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    """One seed everywhere, and two more of LSQ, all accepted with the start's checkpoint."""
    suite = located(tmp_path)
    measure_all(suite)
    measure(suite, "fp", 0)
    measure(suite, "lsq", 0, 1, 2)
    accept(gather(suite, "mini"))
    keep_checkpoints(gather(suite, "mini"))
    return suite


def forget(suite: Located) -> None:
    for folder in Store(suite.root).jobs.iterdir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_more_seeds_than_the_tiers_are_shown_and_accepted(suite: Located) -> None:
    assert runs(suite, "lsq") == [0, 1, 2] and runs(suite, "fp-ft") == [0]
    for committed in (False, True):
        table = make_table(suite, "mini", committed)
        at = [column.heading for column in table.columns].index("runs")
        assert [row[at] for row in table.rows] == ["1", "1", "3"]


def test_a_further_seed_that_runs_is_not_shown_and_one_that_failed_is(suite: Located) -> None:
    folder = Store(suite.root).folder(plan(suite, "mini", ("lsq",), seeds=4)[-1].identity)
    folder.path.mkdir(parents=True)
    assert [j.job.repetition for j in gather(suite, "mini").jobs if j.job.row.id == "lsq"] == [0, 1, 2]
    folder.fail("the loss became nan at step 7", "2026-01-01T00:00:00+00:00")
    assert [j.state for j in gather(suite, "mini").jobs if j.job.row.id == "lsq"] == ["done", "done", "done", "failed"]
    with pytest.raises(BenchError, match="seed 3 cannot be accepted: the loss became nan"):
        accept(gather(suite, "mini"))


def test_restored_records_are_not_run_again(suite: Located) -> None:
    forget(suite)
    assert not runs(suite, "lsq")
    found = restore(suite, "mini")
    assert len(found.restored) == 5 and not found.left and not found.there
    assert runs(suite, "lsq") == [0, 1, 2]
    fp = job_of(suite, "fp")
    assert Store(suite.root).folder(fp.identity).checkpoint.read_bytes() == WEIGHTS
    assert len(restore(suite, "mini").there) == 5


def test_a_start_without_its_checkpoint_is_left_out(suite: Located) -> None:
    forget(suite)
    for path in (suite.root / "baselines" / "checkpoints").iterdir():
        path.unlink()
    assert main(["--root", str(suite.root), "restore", suite.name]) == 3
    found = restore(suite, "mini")
    assert [*found.left] == ["toy/table1 fp mini seed 0"] and len(found.there) == 4


def test_another_checkpoint_is_refused(suite: Located) -> None:
    forget(suite)
    kept_checkpoint(suite.root, hashlib.sha256(WEIGHTS).hexdigest()).write_bytes(b"others")
    with pytest.raises(BenchError, match="its sha256 is"):
        restore(suite, "mini")


def test_a_run_starts_from_the_committed_model_and_from_no_other(
    suite: Located, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(suite)
    jobs = plan(suite, "mini", ("lsq",))
    assert main(["--root", str(suite.root), "plan", suite.name, "--rows", "lsq"]) == 0
    said = capsys.readouterr().out
    assert "--from-scratch` trains it" in said and "1 done, 1 missing" in said
    assert [job.row.id for job in restore_starts(suite, "mini", jobs)] == ["fp"]
    assert runs(suite, "fp") == [0] and not runs(suite, "lsq")
    assert restore_starts(suite, "mini", jobs) == []  # it is there now
    forget(suite)
    kept_checkpoint(suite.root, hashlib.sha256(WEIGHTS).hexdigest()).write_bytes(b"of another model")
    with pytest.raises(BenchError, match="its sha256 is"):
        restore_starts(suite, "mini", jobs)


def test_records_of_an_earlier_protocol_are_left_out(suite: Located) -> None:
    forget(suite)
    data = suite_data()
    data["tiers"]["mini"]["recipes"]["short"]["length"] = 5
    changed = located(suite.root, data)
    found = restore(changed, "mini")
    # Repetitions beyond the tier's are of no job that would be run.
    assert not found.restored and set(found.left.values()) == {"its protocol is another now"}


def test_records_on_absent_data_are_left_out_on_one_line(suite: Located, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the data there is no pin, so no identity to compare: that is no other protocol."""
    forget(suite)
    data = suite_data()
    data["tiers"]["mini"]["data"] = {"kind": "voc", "path": "gone", "train": ["a"], "test": ["b"], "difficult": "crowd"}
    located(suite.root, data)
    assert main(["--root", str(suite.root), "restore", suite.name]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "not restored, 5: toy/table1 fp mini seed 0" in said
    assert "is not here" in said and "its protocol is another now is not known: " in said and "gone" in said


def test_a_later_day_adds_to_the_baseline(suite: Located) -> None:
    forget(suite)
    measure_all(suite)
    measure(suite, "lsq", 0)
    accept(gather(suite, "mini"))
    baseline = load(suite, "mini")
    assert baseline is not None
    assert [e.repetition for e in baseline.entries if e.row == "lsq"] == [0, 1, 2]


def test_commands(smoke_root: Path, tmp_path: Path) -> None:
    """The real thing: committed smoke records and a checkpoint, then one more seed that starts from it."""
    import shutil

    first, second = tmp_path / "first", make_root(tmp_path / "second")
    shutil.copytree(smoke_root, first)
    said = bench(first, "accept", SUITE, "--tier", "smoke", "--checkpoints").stdout
    assert "checkpoints" in said
    shutil.copytree(first / "baselines", second / "baselines", dirs_exist_ok=True)
    third = tmp_path / "third"
    shutil.copytree(second, third)
    said = bench(third, "run", SUITE, "--tier", "smoke", "--rows", "fp-ft-w4a4").stdout
    assert "fp smoke seed 0: its model is the committed checkpoint" in said and "2 jobs: 1 done, 1 executed" in said
    said = bench(third, "run", SUITE, "--tier", "smoke", "--rows", "fp-ft-w4a4", "--from-scratch").stdout
    assert "committed checkpoint" not in said and "2 jobs: 1 done, 1 executed" in said
    assert "3 restored, 0 there already" in bench(second, "restore", SUITE, "--tier", "smoke").stdout
    run = ("run", SUITE, "--tier", "smoke", "--rows", "fp-ft-w4a4", "--seeds", "2")
    assert "3 jobs: 2 done, 1 executed" in bench(second, *run).stdout
    (start,) = {r.start_sha256 for r in Store(second).records() if r.provenance.asked_by.endswith("seed 1")}
    (fp,) = {r.checkpoint_sha256 for r in Store(first).records() if " fp " in r.provenance.asked_by}
    assert start == fp
