"""Shared by the tests: a root of its own for each, and the smoke jobs, run once."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from forked import Command

PROJECT = Path(__file__).parent.parent
SUITE = "hqod/table1"
OTHER_ROWS = (
    "fp-ft-hqod",
    "lsq-hqod-w4a4",
    "lsq-w2a2",
    "lsq-hqod-w2a2",
    "syncbn-fp",
    "aqd-w4a4",
    "aqd-hqod-w4a4",
    "aqd-w2a2",
    "aqd-hqod-w2a2",
    "tqt-w4a4",
    "tqt-fixed-w4a4",
    "tqt-w2a2",
    "tqt-fixed-w2a2",
)
"""Rows of that suite that say nothing new about the machinery; the long test of the suites runs them."""
TOLD = (
    '  - {id: lsq-hqod-w4a4, label: LSQ+HQOD, detector: retinanet-r18, bits: "4/4", published: lsq-hqod-w4a4, '
    "reported_only: shortened for tests}\n"
)
"""A row of it that the shortened table only reports."""
GPU = Path("/dev/nvidiactl").exists()
"""CUDA cannot be used in a process that is forked from one that has looked for it, as mmengine does at import."""
FUZZ = int(os.environ.get("QDET_FUZZ", "0"))
"""Inputs of each fuzz test outside the ordinary run: `QDET_FUZZ=7000 pytest tests -k fuzz`."""


def fuzz_examples(ordinary: int) -> int:
    """How many inputs a fuzz test makes."""
    return FUZZ or ordinary


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data, where the machine has it."""
    folder = Path(os.environ.get("QDET_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set QDET_SHARED")
    return folder


def make_root(folder: Path) -> Path:
    """A root with the project's suites and published numbers, and no results; of Table I three rows run."""
    for part in ("suites", "baselines"):
        shutil.copytree(PROJECT / part, folder / part)
    shorten(folder / "suites" / f"{SUITE}.yaml")
    return folder


def shorten(suite: Path) -> None:
    """Take OTHER_ROWS out of Table I, what they alone use, and the claims about them: three rows show the machinery."""
    text = suite.read_text(encoding="utf-8")
    text = text[: text.index("\nregime:")] + text[text.index("\ntiers:") :]
    for start in (*(f"  - id: {row}" for row in OTHER_ROWS), "    observers:", "      qat-w2a2:", "      tqt:"):
        indent = len(start) - len(start.lstrip())
        text, count = re.subn(rf"(?m)^{re.escape(start)}( .*)?\n((?: {{{indent + 1},}}.*)\n)+", "", text)
        assert count, start
    text = text.replace("\ntiers:\n", f"{TOLD}\ntiers:\n", 1)
    suite.write_text(text, encoding="utf-8")


def bench(root: Path, *arguments: str, expect: int | None = 0, fresh: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `qdet-bench` as a user does; the exit code must be `expect`.

    Its processes are forked from one that has imported torch already; with `fresh` they are new ones.
    """
    given = ["--root", str(root), *arguments]
    if fresh or GPU:
        command = [sys.executable, "-m", "bench", *given]
        done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600)
    else:
        done = Command(given, root).wait()
    assert expect is None or done.returncode == expect, f"{done.stdout}\n{done.stderr}"
    return done


def children_s() -> float:
    """Processor time of the child processes that have ended, s: on a busy machine it says what a clock cannot."""
    used = os.times()
    return used.children_user + used.children_system


@pytest.fixture(scope="session")
def smoke_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke jobs of HQOD Table I, run in new processes, two jobs at once. Tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    # With several processes of tests, the first one that asks makes it for all: their folders stand side by side.
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root, made = base / "smoke" / "root", base / "smoke.made"
    with FileLock(base / "smoke.lock"):
        if not made.exists():
            shutil.rmtree(root, ignore_errors=True)
            make_root(root)
            done = bench(root, "run", SUITE, "--tier", "smoke", "--jobs", "2", fresh=True)
            assert "3 executed" in done.stdout, done.stdout
            made.touch()
    return root


@pytest.fixture
def finished_root(smoke_root: Path, tmp_path: Path) -> Path:
    """A copy of the finished smoke jobs, to change at will."""
    return Path(shutil.copytree(smoke_root, tmp_path / "root"))
