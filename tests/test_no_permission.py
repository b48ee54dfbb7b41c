"""Folders that cannot be read or written, and files in their places: one line and exit 1, never "there is nothing"."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from factories import NAME, job_of, located, measure_all, suite_data

from bench.cli.main import main
from bench.records.store import Store
from bench.schema.load import Located

COMMANDS = [
    ["list"],
    ["plan", NAME],
    ["run", NAME],
    ["table", NAME],
    ["report"],
    ["score", f"{NAME}:fp"],
    ["check", NAME],
]
ALL = """
import contextlib, io, json, sys
from bench.cli.main import main
said = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(command)
    said.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""
"""Runs commands in one process; an exception of theirs ends it."""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Located:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    suite = located(tmp_path)
    measure_all(suite)
    return suite


@contextmanager
def closed(folder: Path, mode: int = 0) -> Iterator[None]:
    folder.chmod(mode)
    try:
        yield
    finally:
        folder.chmod(0o755)


def unprivileged(root: Path, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each command, run by somebody whom modes of files bind."""
    command = [sys.executable, "-c", ALL, json.dumps(commands)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may read everything, and setpriv is not here to take that right away")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


@pytest.mark.parametrize("place", ["suites", "results", "results/local/jobs"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_in_a_folders_place(
    place: str, command: list[str], suite: Located, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(suite.root / place)
    (suite.root / place).touch()
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and f"{place}: is a file where a folder is wanted; move it away" in said.err


@pytest.mark.parametrize("place", ["suites", "suites/toy", "results", "results/local"])
def test_a_folder_that_cannot_be_read(place: str, suite: Located) -> None:
    with closed(suite.root / place):
        for command, (code, out, err) in zip(COMMANDS, unprivileged(suite.root, COMMANDS), strict=True):
            assert (code, out) == (1, ""), command
            assert err.count("\n") == 1 and place in err and "Permission denied" in err, command


def test_a_record_that_cannot_be_read_is_not_passed_over(suite: Located) -> None:
    folder = Store(suite.root).folder(job_of(suite, "lsq").identity).path
    with closed(folder):
        *said, (du, _, refused) = unprivileged(suite.root, [["table", NAME], ["report"], ["check", NAME], ["du"]])
    for code, out, err in said:
        assert (code, out) == (1, "") and f"{folder.name}/record.json: Permission denied" in err
    assert du == 1 and f"{folder.name}: Permission denied" in refused


def test_a_folder_that_cannot_be_written(suite: Located) -> None:
    shutil.rmtree(suite.root / "results")
    commands = [["run", NAME], ["table", NAME, "--output", "results/t.md"]]
    with closed(suite.root, 0o555):
        for code, out, err in unprivileged(suite.root, commands):
            assert (code, out) == (1, "")
            assert err.count("\n") == 1 and "results" in err and "Permission denied" in err


def test_records_of_a_suite_that_cannot_be_read_are_not_those_of_none(suite: Located) -> None:
    """`gc --gone` would else remove them."""
    located(suite.root, suite_data(), "other/table1")
    before = sorted(Store(suite.root).jobs.rglob("record.json"))
    with closed(suite.root / "suites" / "toy"):
        ((code, out, err),) = unprivileged(suite.root, [["gc", "--gone", "--delete"]])
    assert (code, out) == (1, "") and "suites/toy: Permission denied" in err
    assert sorted(Store(suite.root).jobs.rglob("record.json")) == before


def test_a_suite_in_a_folder_that_may_only_be_listed(suite: Located) -> None:
    with closed(suite.root / "suites" / "toy", 0o444):
        ((code, _, err),) = unprivileged(suite.root, [["plan", NAME]])
    assert code == 2 and "suites/toy/table1.yaml: cannot be read: Permission denied" in err
