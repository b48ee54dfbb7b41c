"""Downloads over bad lines from bad servers: what arrives under a final name is the pinned file or nothing."""

import hashlib
from pathlib import Path

import pytest
from fetching import ARCHIVE, HALF, SHORT, WRONG, assert_nothing, assert_whole, bring, part_of, put_part, refused
from http_server import Answer, serving
from pin_files import facts, put_pin

from bench.data.pins.fetch import Patience
from bench.data.pins.get import get, state
from bench.data.pins.pin import Pin
from bench.data.pins.transfer import Timeouts
from bench.errors import BenchError, UsageError


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    return put_pin(tmp_path, facts(ARCHIVE))


def test_a_download_is_verified_unpacked_and_not_repeated(pin: Pin) -> None:
    server = bring(pin, ARCHIVE)
    assert server.seen == [("/small.tar", None, None)]
    assert_whole(pin)
    assert get(pin, "http://127.0.0.1:9/", SHORT) is False


def test_an_archive_put_there_by_hand_is_verified_first(pin: Pin) -> None:
    pin.archive.parent.mkdir(parents=True)
    pin.archive.write_bytes(WRONG)
    with pytest.raises(BenchError, match=r"small\.tar: md5 is .*delete it and repeat"):
        get(pin, None, SHORT)
    assert pin.archive.exists() and not pin.folder.exists()
    pin.archive.write_bytes(ARCHIVE)
    assert get(pin, None, SHORT)
    assert_whole(pin)


@pytest.mark.parametrize(
    ("answers", "ranges"),
    [
        ([Answer(cut=HALF), Answer()], [None, f"bytes={HALF}-"]),
        ([Answer(cut=HALF), Answer(cut=1 << 16), Answer()], [None, f"bytes={HALF}-", f"bytes={HALF + (1 << 16)}-"]),
        ([Answer(status=500), Answer(status=429), Answer()], [None, None, None]),
        ([Answer(cut=HALF), Answer(ranges=False)], [None, f"bytes={HALF}-"]),
        ([Answer(cut=HALF), Answer(range_text=f"bytes 0-9/{len(ARCHIVE)}"), Answer()], [None, f"bytes={HALF}-", None]),
        ([Answer(cut=HALF), Answer(range_text="nonsense"), Answer()], [None, f"bytes={HALF}-", None]),
        ([Answer(cut=HALF), Answer(status=416), Answer()], [None, f"bytes={HALF}-", None]),
        ([Answer(length=-1, cut=HALF), Answer(length=-1)], [None, f"bytes={HALF}-"]),
        # The half of another file in front, then the right rest: wrong as a whole, right when begun anew.
        ([Answer(content=WRONG, cut=HALF), Answer(), Answer()], [None, f"bytes={HALF}-", None]),
    ],
    ids=["broken", "broken-twice", "busy", "no-range", "other-range", "no-such-range", "416", "no-length", "glued"],
)
def test_a_bad_line_is_got_over(pin: Pin, answers: list[Answer], ranges: list[str | None]) -> None:
    server = bring(pin, ARCHIVE, *answers)
    assert [asked for _, asked, _ in server.seen] == ranges
    assert_whole(pin)


def test_a_changed_file_is_not_glued_to_the_part_of_the_old_one(pin: Pin) -> None:
    old, new = Answer(content=WRONG, cut=HALF, headers={"ETag": '"1"'}), Answer(headers={"ETag": '"2"'})
    server = bring(pin, ARCHIVE, old, new)
    assert server.seen == [("/small.tar", None, None), ("/small.tar", f"bytes={HALF}-", '"1"')]
    assert_whole(pin)


@pytest.mark.parametrize("tag", ['W/"1"', "1"])
def test_a_weak_tag_is_not_relied_on(pin: Pin, tag: str) -> None:
    server = bring(pin, ARCHIVE, Answer(cut=HALF, headers={"ETag": tag}), Answer())
    assert server.seen[1][2] is None
    assert_whole(pin)


@pytest.mark.parametrize(
    ("part", "requests"),
    [(ARCHIVE[:HALF], 1), (ARCHIVE, 0), (ARCHIVE + b"x", 1), (WRONG[:HALF], 2), (WRONG, 1), (b"", 1)],
    ids=["half", "whole", "too-long", "wrong-half", "wrong-whole", "empty"],
)
def test_parts_of_an_earlier_attempt(pin: Pin, part: bytes, requests: int) -> None:
    put_part(pin, part)
    server = bring(pin, ARCHIVE)
    assert len(server.seen) == requests
    assert_whole(pin)


def test_a_broken_note_beside_a_part_does_no_harm(pin: Pin) -> None:
    put_part(pin, ARCHIVE[:HALF])
    part_of(pin).with_name(part_of(pin).name + ".json").write_text("[")
    assert bring(pin, ARCHIVE).seen[0][1] == f"bytes={HALF}-"
    assert_whole(pin)


def test_a_line_that_stays_broken_keeps_its_part(pin: Pin) -> None:
    message, server = refused(pin, Answer(cut=HALF), Answer(cut=0))
    assert f"after {HALF} " in message and "3 times in vain" in message and "repeat the command" in message
    assert len(server.seen) == 3
    assert part_of(pin).read_bytes() == ARCHIVE[:HALF] and state(pin) == "part"
    assert bring(pin, ARCHIVE).seen[0][1] == f"bytes={HALF}-"
    assert_whole(pin)


def test_a_wrong_byte_names_both_hashes_and_deletes_the_part(pin: Pin) -> None:
    message, server = refused(pin, content=WRONG)
    for kind in (hashlib.md5, hashlib.sha256):
        assert kind(WRONG).hexdigest() in message and kind(ARCHIVE).hexdigest() in message
    assert not part_of(pin).exists() and len(server.seen) == 1


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_both_hashes_must_match(tmp_path: Path, kind: str) -> None:
    values = facts(ARCHIVE)
    place = values["outs"][0] if kind == "md5" else values["meta"]
    place[kind] = "b" * len(place[kind])
    message, _ = refused(put_pin(tmp_path, values))
    assert f"{kind} is " in message and "b" * 32 in message
    assert ("sha256 is" in message) != ("md5 is" in message)


def test_an_unknown_md5_is_not_checked(tmp_path: Path) -> None:
    values = facts(ARCHIVE)
    del values["outs"][0]["md5"]
    pin = put_pin(tmp_path, values)
    bring(pin, ARCHIVE)
    assert_whole(pin)


@pytest.mark.parametrize(
    ("answer", "words", "requests"),
    [
        (Answer(status=404), "answers 404", 1),
        (Answer(status=500), "answers 500", 3),
        (Answer(length=len(ARCHIVE) + 5), f"offers {len(ARCHIVE) + 5} bytes, the pin has {len(ARCHIVE)}", 1),
        (Answer(length=len(ARCHIVE) - 5), f"offers {len(ARCHIVE) - 5} bytes", 1),
        (Answer(content=ARCHIVE[:-5], length=len(ARCHIVE)), "in vain", 3),
        (Answer(length=-1, extra=b"x"), f"more than the {len(ARCHIVE)} bytes", 1),
        (Answer(length=-1, extra=bytes(1 << 20)), f"more than the {len(ARCHIVE)} bytes", 1),
        (Answer(headers={"Content-Encoding": "gzip"}), "'gzip'", 1),
        (Answer(status=302, headers={"Location": "file:///etc/hostname"}), "not http or https", 1),
        (Answer(status=302, headers={"Location": "ftp://127.0.0.1/x"}), "not http or https", 1),
        (Answer(status=302, headers={"Location": "/again"}), "redirects more than 5 times", 6),
        (Answer(status=206), "answers 206", 1),
    ],
)
def test_what_a_server_must_not_do(pin: Pin, answer: Answer, words: str, requests: int) -> None:
    message, server = refused(pin, answer)
    assert words in message and len(server.seen) == requests


def test_more_bytes_than_declared_are_not_read(pin: Pin) -> None:
    bring(pin, ARCHIVE, Answer(extra=b"x" * 1000))
    assert_whole(pin)


def test_a_silent_server_is_given_up(pin: Pin) -> None:
    patience = Patience(tries=2, wait_s=0.01, timeouts=Timeouts(2, 0.2))
    with serving(ARCHIVE, Answer(pause_s=0.6)) as server, pytest.raises(BenchError, match="2 times in vain"):
        get(pin, server.url, patience)
    assert_nothing(pin)


def test_mirrors_are_tried_in_order(tmp_path: Path) -> None:
    with serving(WRONG) as wrong, serving(ARCHIVE, Answer(status=404)) as none, serving(ARCHIVE) as right:
        values = facts(ARCHIVE)
        values["deps"][0]["path"] = f"{wrong.url}x/small.tar"
        values["meta"]["mirrors"] = [f"{none.url}small.tar", f"{right.url}small.tar"]
        pin = put_pin(tmp_path, values)
        assert get(pin, None, SHORT)
    assert [len(server.seen) for server in (wrong, none, right)] == [1, 1, 1]
    assert_whole(pin)


def test_redirects_within_http_are_followed(pin: Pin) -> None:
    server = bring(pin, ARCHIVE, Answer(status=302, headers={"Location": "/b"}), Answer())
    assert [path for path, _, _ in server.seen] == ["/small.tar", "/b"]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://x/y", "/tmp/x", "x"])
def test_other_addresses_are_refused_before_anything_is_written(pin: Pin, url: str) -> None:
    with pytest.raises(UsageError, match="http"):
        get(pin, url, SHORT)
    assert not pin.archive.parent.exists()
