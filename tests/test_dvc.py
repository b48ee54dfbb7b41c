"""`dvc repro` from end to end, at tier smoke: what a second one does, an edited row, a failing row."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PROJECT, edited, shorten

from bench.records.store import Store

SUITE = Path("suites/hqod/table1.yaml")


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
    for stages in (root / "dvc.yaml", root / "suites/hqod/dvc.yaml"):
        text = stages.read_text(encoding="utf-8")
        assert "tier: mini" in text
        stages.write_text(text.replace("tier: mini", "tier: smoke"), encoding="utf-8")
    shorten(root / SUITE)
    (root / "dvc.lock").unlink(missing_ok=True)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return root


def repro(root: Path, *targets: str) -> tuple[str, float]:
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
    }
    begin = time.monotonic()
    command = [str(binaries / "dvc"), "repro", *targets]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout, time.monotonic() - begin


def test_repro(checkout: Path) -> None:
    output, _ = repro(checkout)
    assert "3 jobs: 3 executed" in output and "reproduce@" not in output
    table = checkout / "results" / "local" / "hqod" / "table1.smoke.md"
    assert "FP+ft" in table.read_text(encoding="utf-8")

    output, seconds = repro(checkout)
    assert "up to date" in output and "jobs:" not in output
    assert seconds < 10

    suite = checkout / SUITE
    with edited(suite) as data:
        recipes = data["tiers"]["smoke"]["recipes"]
        recipes["qat-w4a4"]["optimizer"] = {**recipes["ft"]["optimizer"], "lr": 0.003}
    output, _ = repro(checkout)
    assert "3 jobs: 2 done, 1 executed" in output

    with edited(suite) as data:
        data["tiers"]["smoke"]["recipes"]["qat-w4a4"]["optimizer"]["lr"] = 0.004
        data["policies"]["hqod"]["pins"]["activations"] = 68
    # A failed row is written down, the table comes all the same, and the gate is the last to speak.
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
    }
    done = subprocess.run(
        [str(binaries / "dvc"), "repro"], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert "3 jobs: 2 done, 1 failed" in done.stdout
    assert "activations 69 instead of 68" in table.read_text(encoding="utf-8")
    assert done.returncode != 0 and "check@hqod-table1" in done.stderr + done.stdout


def test_a_table_beside_the_main_one(checkout: Path) -> None:
    """Tables II to IV have a pipeline of their own, which a plain `dvc repro` leaves alone."""
    target = "suites/hqod/dvc.yaml:reproduce@table4"
    output, _ = repro(checkout, target)
    assert "7 jobs: 7 executed" in output
    table = (checkout / "results/local/hqod/table4.smoke.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith("| LSQ+HIoU"))
    assert "| ok " in row
    output, _ = repro(checkout, target)
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
        binaries = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(checkout)}
        command = [str(binaries / "dvc"), "repro"]
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(1, 20))
        process.kill()
        process.wait()
        output, _ = repro(checkout)
        assert {r.identity: (r.predictions.digest, r.metrics) for r in Store(checkout).records()} == expected, output
