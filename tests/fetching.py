"""What the tests of downloads share: an archive, a wrong copy of it, and what must be there afterwards."""

from pathlib import Path

import pytest
from http_server import Answer, Server, serving
from pin_files import FILES, tar_of

from bench.data.pins.fetch import Patience
from bench.data.pins.get import get, problems, state
from bench.data.pins.pin import Pin
from bench.data.pins.transfer import Timeouts
from bench.errors import BenchError

ARCHIVE = tar_of()
HALF = 3 * (1 << 16)
"""A piece that is not whole when the line breaks is lost, so tests break it between pieces."""
SHORT = Patience(tries=3, wait_s=0.01, timeouts=Timeouts(2, 2))
WRONG = ARCHIVE[: HALF - 1] + bytes([ARCHIVE[HALF - 1] ^ 1]) + ARCHIVE[HALF:]


def part_of(pin: Pin) -> Path:
    return pin.archive.with_name(pin.archive.name + ".part")


def put_part(pin: Pin, content: bytes) -> None:
    part_of(pin).parent.mkdir(parents=True)
    part_of(pin).write_bytes(content)


def assert_whole(pin: Pin) -> None:
    assert {
        p.relative_to(pin.folder).as_posix(): p.read_bytes() for p in pin.folder.rglob("*") if p.is_file()
    }.items() >= (FILES.items())
    assert pin.archive.read_bytes() == ARCHIVE
    assert sorted(p.name for p in pin.archive.parent.iterdir()) == [".lock", pin.archive.name]
    assert problems(pin) == [] and state(pin) == "present"


def assert_nothing(pin: Pin) -> None:
    assert not pin.archive.exists() and not pin.folder.exists()
    assert not list(pin.folder.parent.glob(".*.partial"))


def bring(pin: Pin, content: bytes, *answers: Answer) -> Server:
    with serving(content, *answers) as server:
        get(pin, server.url, SHORT)
    return server


def refused(pin: Pin, *answers: Answer, content: bytes = ARCHIVE) -> tuple[str, Server]:
    with serving(content, *answers) as server, pytest.raises(BenchError) as caught:
        get(pin, server.url, SHORT)
    assert_nothing(pin)
    assert "\n" not in str(caught.value)
    return str(caught.value), server
