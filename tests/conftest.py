"""Shared by the tests: a root of its own for each, and the smoke jobs, run once."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from forked import Command

from bench.schema.source import load_mapping

PROJECT = Path(__file__).parent.parent
# Output is laid out for a terminal where this says how wide one is; under xdist it is set.
os.environ.pop("COLUMNS", None)
SUITE = "hqod/table1"
ROWS = ("fp", "fp-ft-w4a4", "lsq-w4a4")
"""The rows of that suite which show the machinery; the long test of the suites runs the others."""
TOLD = {
    "id": "lsq-hqod-w4a4",
    "label": "LSQ+HQOD",
    "bits": "4/4",
    "published": True,
    "reported_only": "shortened for tests",
}
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


def shorten(path: Path) -> None:
    """Leave ROWS of Table I and what they use, and no claims: three rows show the machinery."""
    with edited(path) as suite:
        rows = [row for row in suite["rows"] if row["id"] in ROWS]
        kinds = {name: suite["kinds"][name] for name in {row["kind"] for row in rows}}
        recipes = {row["recipe"] for row in kinds.values()}
        for tier in suite["tiers"].values():
            tier.pop("observers", None)
            tier["recipes"] = {name: recipe for name, recipe in tier["recipes"].items() if name in recipes}
        methods = {name: suite["methods"][name] for row in rows for name in row.get("methods", [])}
        policies = {kinds[row["kind"]].get("policy") for row in rows}
        suite |= {"rows": [*rows, TOLD], "kinds": kinds, "methods": methods}
        suite["policies"] = {name: policy for name, policy in suite["policies"].items() if name in policies}
        suite["core"] = [row["id"] for row in rows]
        del suite["regime"], suite["claims"], suite["evidence"], suite["defaults"]["claim"]


def another_rate(suite: dict[str, Any], lr: float) -> None:
    """Give LSQ, and no other row, a recipe with this learning rate."""
    for tier in suite["tiers"].values():
        recipes = tier["recipes"]
        recipes["other"] = {"from": "w4a4", "optimizer": {**recipes["w4a4"]["optimizer"], "lr": lr}}
    suite["kinds"]["w4a4"]["recipe"] = "other"


@contextmanager
def edited(path: Path) -> Iterator[dict[str, Any]]:
    """A suite's values, to change at will; written back in the end, as JSON, which is YAML."""
    data = load_mapping(path).data
    yield data
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


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
