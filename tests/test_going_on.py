"""What stopped new users: where options stand, what is left after `restore`, what to do when something is gone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, bench
from factories import NAME, call, job_of, located, measure_all, suite_data

from bench.cli.main import main
from bench.errors import UsageError
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.schema.load import Located

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    suite = located(tmp_path)
    measure_all(suite)
    return suite


def said(capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(words) == code
    out, err = capsys.readouterr()
    return out + err


def test_root_before_and_behind_the_command(suite: Located, capsys: Capture) -> None:
    root = ["--root", str(suite.root)]
    before = said(capsys, *root, "table", NAME)
    assert said(capsys, "table", NAME, *root) == before and "LSQ" in before
    assert said(capsys, "--root", "/nowhere", "table", NAME, *root) == before
    assert "--root /nowhere: no such folder" in said(capsys, "list", "--root", "/nowhere", code=2)


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out.startswith("qdet-bench")


def test_table_as_json(suite: Located, capsys: Capture) -> None:
    root = ("--root", str(suite.root))
    found = said(capsys, *root, "table", NAME, "--json")
    assert found == said(capsys, *root, "table", NAME, "--format", "json") and json.loads(found)
    assert "--json and --format csv" in said(capsys, *root, "table", NAME, "--json", "--format", "csv", code=2)


def test_the_only_tier_is_the_default(tmp_path: Path, capsys: Capture) -> None:
    data = suite_data()
    data["tiers"] = {"smoke": data["tiers"]["mini"]}
    del data["rows"][2]["pins"]
    smoke, mini = located(tmp_path, data, "toy/small"), located(tmp_path)
    measure_all(smoke, "smoke")
    root = ("--root", str(tmp_path))
    assert "tier smoke" in said(capsys, *root, "check", "toy/small")
    assert json.loads(said(capsys, *root, "show", "toy/small", "--json"))["tier"] == "smoke"
    assert "toy/small lsq smoke seed 0" in said(capsys, *root, "compare", "toy/small:lsq", "toy/small:fp", code=1)
    error = said(capsys, *root, "plan", "toy/small", NAME, code=2)
    assert "--tier is needed: the suites have other defaults (toy/small smoke, toy/table1 mini)" in error
    assert mini.default_tier == "mini" and "no tier 'paper'" in said(
        capsys, *root, "plan", NAME, "--tier", "paper", code=2
    )


def test_restored_rows_say_so(suite: Located, capsys: Capture) -> None:
    store = Store(suite.root)
    call(suite, "accept")
    for row in ("fp-ft", "lsq"):  # rows start from `fp`, whose checkpoint no baseline of this test keeps
        store.folder(job_of(suite, row).identity).record_file.unlink()
    call(suite, "restore")
    root = ("--root", str(suite.root))
    assert said(capsys, *root, "table", NAME).count("ok, restored from the baseline") == 2
    lines = said(capsys, *root, "plan", NAME).splitlines()
    assert sum("done" in line and "restored from the baseline" in line for line in lines) == 2
    again = f"`qdet-bench run {NAME} --tier mini --rows lsq --again` makes them"
    for command in (("compare", f"{NAME}:lsq", f"{NAME}:fp-ft"), ("harmony", f"{NAME}:lsq")):
        assert again in said(capsys, *root, *command, code=1)


def test_run_again(finished_root: Path) -> None:
    """Only the named rows lose their record, and come to the same numbers; their mark of being restored goes."""
    store = Store(finished_root)
    folders = {r.provenance.asked_by.split()[1]: store.folder(r.identity) for r in store.records()}
    folders["fp-ft-w4a4"].restored.write_text("x")
    times = {row: folder.record_file.stat().st_mtime_ns for row, folder in folders.items()}
    before = {r.identity: r.metrics for r in store.records()}
    done = bench(finished_root, "run", "hqod/table1", "--tier", "smoke", "--rows", "fp-ft-w4a4", "--again")
    assert "2 jobs: 1 done, 1 executed" in done.stdout
    moved = {row for row, folder in folders.items() if folder.record_file.stat().st_mtime_ns != times[row]}
    assert moved == {"fp-ft-w4a4"} and not folders["fp-ft-w4a4"].restored.exists()
    assert {r.identity: r.metrics for r in store.records()} == before


def test_a_checkpoint_that_is_gone(finished_root: Path) -> None:
    store = Store(finished_root)
    folders = {r.provenance.asked_by.split()[1]: store.folder(r.identity) for r in store.records()}
    folders["fp"].checkpoint.unlink()
    folders["lsq-w4a4"].record_file.unlink()
    remedy = "`qdet-bench run hqod/table1 --tier smoke --rows fp --again` trains it anew"
    plan_said = bench(finished_root, "plan", "hqod/table1", "--tier", "smoke").stdout
    assert plan_said.count(remedy) == 1
    failed = bench(finished_root, "run", "hqod/table1", "--tier", "smoke", expect=1)
    assert remedy in failed.stdout
    assert "once mended: `qdet-bench run hqod/table1 --tier smoke --rows lsq-w4a4`" in failed.stderr


def test_rows_of_one_identity_are_all_shown(tmp_path: Path, capsys: Capture) -> None:
    data: dict[str, Any] = suite_data()
    data["rows"].append({**data["rows"][1], "id": "same", "label": "The same"})
    suite = located(tmp_path, data)
    measure_all(suite)
    assert len(plan(suite, "mini")) == 4
    said_run = said(capsys, "--root", str(tmp_path), "run", NAME, "--dry-run")
    assert " fp-ft mini" in said_run and " same mini" in said_run
    done = said(capsys, "--root", str(tmp_path), "run", NAME)
    assert f"{NAME} fp-ft mini seed 0: the same job as {NAME} same mini seed 0" in done


def test_a_run_whose_reader_has_gone_is_not_well(suite: Located) -> None:
    command = (
        f"{sys.executable} -m bench --root {suite.root} run {NAME} | (exec 0<&-; sleep 3); exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 3 and "Traceback" not in done.stderr


def test_wrong_calls(suite: Located) -> None:
    with pytest.raises(UsageError, match="--again and --dry-run"):
        call(suite, "run", "--again", "--dry-run")
