"""`dvc repro` from end to end, at tier smoke: what a second one does, an edited row, a failing row."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PROJECT, another_rate, bench, edited, shorten

from bench.records.store import Store
from bench.schema.load import load_suite

NAME = "hqod/table1"
SUITE = Path(f"suites/{NAME}.yaml")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Git checkout of the working tree's files whose stages run tier smoke."""
    root = tmp_path_factory.mktemp("dvc") / "checkout"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (PROJECT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, root / name)
    for stages in (root / "dvc.yaml", root / "suites/dvc.yaml"):
        text = stages.read_text(encoding="utf-8")
        assert "tier: mini" in text
        stages.write_text(text.replace("tier: mini", "tier: smoke"), encoding="utf-8")
    shorten(root / SUITE)
    (root / "dvc.lock").unlink(missing_ok=True)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return root


BINARIES = Path(sys.executable).parent


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(root)}


def repro(root: Path, *targets: str, expect: bool = True) -> str:
    """What `dvc repro` and the commands of its stages say; it must end well, or with `expect` false, badly."""
    command = [str(BINARIES / "dvc"), "repro", *targets]
    done = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, timeout=600)
    assert (done.returncode == 0) == expect, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def run_first(root: Path, suite: str, *rows: str) -> None:
    """Leave records of these rows, so that `dvc` finds one job to run: each takes it 10 s of imports."""
    bench(root, "run", suite, "--tier", "smoke", "--rows", *rows)


def test_repro(checkout: Path) -> None:
    run_first(checkout, NAME, "fp-ft-w4a4")
    output = repro(checkout)
    assert "3 jobs: 2 done, 1 executed" in output and "reproduce@" not in output
    table = checkout / "results" / "local" / "hqod" / "table1.core.smoke.md"
    assert "FP+ft" in table.read_text(encoding="utf-8")

    begin = time.monotonic()
    output = repro(checkout)
    assert "up to date" in output and "jobs:" not in output
    assert time.monotonic() - begin < 10

    suite = checkout / SUITE
    with edited(suite) as data:
        another_rate(data, 0.003)
    assert "3 jobs: 2 done, 1 executed" in repro(checkout)

    with edited(suite) as data:
        another_rate(data, 0.004)
        data["policies"]["hqod"]["pins"]["activations"] = 68
    # A failed row is written down, the table comes all the same, and the gate is the last to speak.
    output = repro(checkout, expect=False)
    assert "3 jobs: 2 done, 1 failed" in output and "check@hqod-table1" in output
    assert "activations 66 instead of 68" in table.read_text(encoding="utf-8")


def test_a_table_beside_the_main_one(checkout: Path) -> None:
    """Whole tables have a pipeline of their own, which a plain `dvc repro` leaves alone."""
    target = "suites/dvc.yaml:reproduce@hqod-table4"
    others = {row.id for row in load_suite("hqod/table4", checkout).suite.rows} - {"lsq-hiou"}
    run_first(checkout, "hqod/table4", *sorted(others))
    assert "8 jobs: 7 done, 1 executed" in repro(checkout, target)
    table = (checkout / "results/local/hqod/table4.smoke.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith("| LSQ+HIoU"))
    assert "| ok " in row
    output = repro(checkout, target)
    assert "up to date" in output and "jobs:" not in output


@pytest.mark.long
def test_killed_dvc(checkout: Path, smoke_root: Path) -> None:
    """`kill -9` of the `dvc` process leaves its command running; repeating `dvc repro` ends as undisturbed."""
    subprocess.run(["git", "checkout", "-q", "--", "suites"], cwd=checkout, check=True)
    expected = {r.identity: (r.predictions.digest, r.metrics) for r in Store(smoke_root).records()}
    moments = random.Random(2026)
    for _ in range(6):
        shutil.rmtree(checkout / "results" / "local", ignore_errors=True)
        (checkout / "dvc.lock").unlink(missing_ok=True)
        command = [str(BINARIES / "dvc"), "repro"]
        process = subprocess.Popen(command, cwd=checkout, env=environment(checkout), stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(1, 20))
        process.kill()
        process.wait()
        output = repro(checkout)
        assert {r.identity: (r.predictions.digest, r.metrics) for r in Store(checkout).records()} == expected, output
