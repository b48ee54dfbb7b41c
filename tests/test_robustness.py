"""Killed runners and workers, two runners on one folder, a full disk: repeating the command ends well."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import SUITE, bench, make_root
from forked import Command

from bench.records import files
from bench.records.record import Record
from bench.records.store import Store

SMOKE = ("--tier", "smoke")


def results(root: Path) -> dict[str, tuple[str, dict[str, float]]]:
    return {r.identity: (r.predictions.digest, r.metrics) for r in Store(root).records()}


def start(root: Path) -> "subprocess.Popen[str]":
    """A runner and its workers as a user starts them: new processes, which is what a kill is about."""
    command = [sys.executable, "-m", "bench", "--root", str(root), "run", SUITE, *SMOKE]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def workers(root: Path) -> list[int]:
    """Process ids of the workers of this root, found in /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"bench.run.worker" in words and any(str(root).encode() in word for word in words):
            found.append(int(path.parent.name))
    return found


def kill_once(root: Path, target: str, after: float | str) -> str:
    """Start a run and kill the runner or one of its workers after so many seconds, or when the runner has said so.

    Returns what the runner said from then on.
    """
    runner = start(root)
    if isinstance(after, str):
        assert runner.stdout is not None
        assert any(after in line for line in runner.stdout), f"the runner never said {after!r}"
    else:
        time.sleep(after)
    if target == "runner":
        os.kill(runner.pid, signal.SIGKILL)
    else:
        for pid in workers(root)[:1]:
            os.kill(pid, signal.SIGKILL)
    said, _ = runner.communicate(timeout=300)
    deadline = time.monotonic() + 10
    while workers(root) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers(root), "a worker outlived its runner"
    return said


def check_recovery(root: Path, undisturbed: Path) -> None:
    bench(root, "run", SUITE, *SMOKE)
    assert results(root) == results(undisturbed)
    assert not list(Store(root).jobs.rglob("*.part"))


@pytest.mark.parametrize("target", ["runner", "worker"])
def test_killed_once(target: str, smoke_root: Path, tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    said = kill_once(root, target, "smoke seed 0: data ")
    assert ("ended with code -9" in said) == (target == "worker")
    assert not results(root), "the first job had two seconds of work left"
    check_recovery(root, smoke_root)


def test_a_worker_whose_runner_was_killed_before_it_had_started_ends(finished_root: Path) -> None:
    """Its parent is another process from the beginning."""
    folder = Store(finished_root).folder(next(iter(Store(finished_root).records())).identity)
    folder.record_file.unlink()
    command = [sys.executable, "-m", "bench.run.worker", str(folder.path), str(os.getpid() + 1)]
    assert subprocess.run(command, cwd=finished_root, timeout=60).returncode == 1
    assert not folder.ended


def test_a_worker_that_nobody_listens_to_ends_without_a_failure(finished_root: Path) -> None:
    """Its runner died between two looks at it."""
    folder = Store(finished_root).folder(next(iter(Store(finished_root).records())).identity)
    folder.record_file.unlink()
    command = [sys.executable, "-m", "bench.run.worker", str(folder.path), str(os.getpid())]
    with subprocess.Popen(command, cwd=finished_root, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.close()
        assert worker.wait(60) == 1
    assert not folder.ended


@pytest.mark.long
def test_killed_at_twenty_random_moments(smoke_root: Path, tmp_path: Path) -> None:
    """The runner and a worker, at moments spread over the whole run, which takes 17 s on two cores."""
    moments = random.Random(2026)
    for attempt in range(20):
        root = make_root(tmp_path / f"root{attempt}")
        target = ("runner", "worker")[attempt % 2]
        for _ in range(2):
            kill_once(root, target, moments.uniform(0.1, 18.0))
        check_recovery(root, smoke_root)
        shutil.rmtree(root)


def test_two_runners_on_one_folder(smoke_root: Path, tmp_path: Path) -> None:
    """No job runs twice and none is lost."""
    root = make_root(tmp_path / "root")
    runners = [Command(["--root", str(root), "run", SUITE, *SMOKE, "--jobs", "1"], root) for _ in range(2)]
    done = [runner.wait() for runner in runners]
    assert [one.returncode for one in done] == [0, 0], done
    ended = Counter(
        line.rsplit(": ", 1)[1].split()[0] for one in done for line in one.stdout.splitlines() if " smoke seed " in line
    )
    assert ended["executed"] == 3 and ended["done"] == 3
    assert results(root) == results(smoke_root)


def test_an_order_is_written_while_another_runners_worker_tidies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flush, flushed = Store(tmp_path).folder("a" * 20), os.fsync, []

    def tidied_meanwhile(handle: int) -> None:
        flush(handle)
        flushed.append(handle)
        if len(flushed) <= 3:
            folder.tidy()

    monkeypatch.setattr(os, "fsync", tidied_meanwhile)
    folder.ask("{}")
    assert folder.job.read_text() == "{}" and len(flushed) == 4
    assert [path.name for path in folder.path.iterdir()] == ["job.json"]


def test_no_space_left(finished_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that cannot be written leaves the old one, and nothing beside it."""
    record = next(iter(Store(finished_root).records()))
    path = Store(finished_root).folder(record.identity).record_file
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"half": "a record"})
    assert path.read_bytes() == before and Record.model_validate_json(before) == record
    assert [p for p in path.parent.iterdir() if p.name.endswith(".part")] == []


def test_a_results_folder_that_cannot_be_written(finished_root: Path) -> None:
    """Every job that is done stays done; the others fail with the reason, without a traceback."""
    jobs = Store(finished_root).jobs
    lost = next(path for path in jobs.iterdir() if "lsq" in (path / "job.json").read_text())
    shutil.rmtree(lost)
    lost.write_text("a file stands where the folder of the job belongs")
    done = bench(finished_root, "run", SUITE, *SMOKE, expect=1)
    assert "3 jobs: 2 done, 1 failed" in done.stdout
    assert f"{lost}: is a file where a folder is wanted; move it away" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
