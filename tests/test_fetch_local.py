"""Downloads and this machine: full disks, two processes at once, a killed one, archives without a hash."""

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, bench
from fetching import ARCHIVE, HALF, SHORT, assert_nothing, assert_whole, bring, part_of, put_part, refused
from http_server import Answer, Server, serving
from pin_files import facts, folder_facts, put_pin, tar_of, zip_of

from bench.data.pins import fetch, transfer
from bench.data.pins.get import get, problems
from bench.data.pins.pin import Pin


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    return put_pin(tmp_path, facts(ARCHIVE))


class _Full(io.FileIO):
    """A file on a disk that is full after some bytes."""

    def write(self, data: Any) -> int:
        if self.tell() >= HALF:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:1000])


def test_a_full_disk_keeps_the_part(pin: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return (
            _Full(path, mode.replace("b", ""))
            if path.suffix == ".part" and mode[0] != "r"
            else real(path, mode, *args, **kwargs)
        )

    with monkeypatch.context() as patch:
        patch.setattr(transfer.Path, "open", opened)
        message, server = refused(pin)
    assert "No space left on device" in message and "the part is kept" in message and len(server.seen) == 1
    assert 0 < part_of(pin).stat().st_size < len(ARCHIVE)
    bring(pin, ARCHIVE)
    assert_whole(pin)


def test_a_disk_that_is_too_small_is_told_at_once(pin: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9})())
    message, server = refused(pin)
    assert "9 bytes are free" in message and server.seen == []


def test_two_at_once_download_once(pin: Pin) -> None:
    said: list[str] = []
    done: list[bool] = []
    with serving(ARCHIVE, Answer(pause_s=0.1)) as server:

        def one() -> None:
            done.append(get(pin, server.url, SHORT, lambda what, *_: said.append(what)))

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(done) == [False, True]
    assert len(server.seen) == 1 and "waiting for another process that gets small" in said
    assert_whole(pin)


def test_an_archive_without_hash_is_never_resumed(tmp_path: Path) -> None:
    wanted = {"Annotations/a.xml": b"<a/>", "b": random.Random(0).randbytes(1 << 18)}
    archive = zip_of({f"Repo-1/BCCD/{name}": content for name, content in wanted.items()} | {"Repo-1/README": b"r"})
    pin = put_pin(tmp_path, folder_facts(wanted))
    put_part(pin, b"PK-rubbish")
    with serving(archive, Answer(cut=1 << 17), Answer(length=-1)) as server:
        get(pin, server.url, SHORT)
    assert [asked for _, asked, _ in server.seen] == [None, None]
    files = {p.relative_to(pin.folder).as_posix() for p in pin.folder.rglob("*") if p.is_file()}
    assert files == {*wanted, "pin.json", "SHA256SUMS"} and problems(pin) == []


@pytest.mark.parametrize("fault", ["other contents", "half", "endless"])
def test_a_wrong_archive_without_hash_is_deleted(tmp_path: Path, fault: str) -> None:
    wanted = {"a": b"a"}
    archive = zip_of({"Repo-1/BCCD/a": b"b" if fault == "other contents" else b"a"})
    content = {"half": archive[: len(archive) // 2], "endless": bytes(3 << 20)}.get(fault, archive)
    message, _ = refused(put_pin(tmp_path, folder_facts(wanted)), Answer(length=-1), content=content)
    assert {"other contents": "sha256 of the contents is", "half": "broken archive", "endless": "more than"}[
        fault
    ] in message


def killed_in_the_middle(root: Path, pin: Pin, server: Server) -> None:
    command = [sys.executable, "-m", "bench", "--root", str(root), "data", "get", "small", "--url", server.url]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if part_of(pin).exists() and part_of(pin).stat().st_size >= 2 << 16:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_killed_process_is_resumed_by_the_next(tmp_path: Path) -> None:
    files = {"big": random.Random(1).randbytes(1 << 20), "small": b"s"}
    archive = tar_of(files)
    pin = put_pin(tmp_path, facts(archive))
    with serving(archive, Answer(pause_s=0.1, headers={"ETag": '"1"'}), Answer(headers={"ETag": '"1"'})) as server:
        killed_in_the_middle(tmp_path, pin, server)
        assert_nothing(pin)
        have = part_of(pin).stat().st_size
        assert 0 < have < len(archive) and part_of(pin).read_bytes() == archive[:have]
        done = bench(tmp_path, "data", "get", "small", "--url", server.url)
        assert server.seen[1] == ("/small.tar", f"bytes={have}-", '"1"')
        assert "unpacked to" in done.stdout and "downloading small.tar: " in done.stderr
        assert bench(tmp_path, "data", "get", "small").stdout.startswith("small: present")
    assert (pin.folder / "big").read_bytes() == files["big"] and problems(pin) == []
