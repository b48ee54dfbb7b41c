"""The folder that an archive was unpacked to: its list and marker, and what is noticed when it is no longer whole."""

import json
from pathlib import Path

import pytest
from pin_files import FILES, facts, put_pin, sums_digest, tar_of

from bench.data.pins.get import get, problems, state
from bench.data.pins.pin import Pin
from bench.errors import BenchError


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    """A pin whose archive is here and verified."""
    pin = put_pin(tmp_path, facts(tar_of()))
    pin.archive.parent.mkdir(parents=True)
    pin.archive.write_bytes(tar_of())
    return pin


def test_the_list_and_the_marker(pin: Pin) -> None:
    get(pin)
    marker = json.loads((pin.folder / "pin.json").read_text())
    size = sum(map(len, FILES.values()))
    assert marker == {"pin": f"{pin.meta.sha256}:", "files": 3, "bytes": size, "sha256": sums_digest(FILES)}
    assert [line[66:] for line in (pin.folder / "SHA256SUMS").read_text().splitlines()] == sorted(FILES)


def test_leftovers_of_a_killed_process_are_cleared(pin: Pin) -> None:
    partial = pin.folder.with_name(".small.partial")
    partial.mkdir()
    (partial / "old").write_text("old")
    get(pin)
    assert not partial.exists() and not (pin.folder / "old").exists() and state(pin) == "present"


def change(pin: Pin, what: str) -> None:
    victim = pin.folder / "VOCdevkit/VOC2007/a.txt"
    match what:
        case "lost":
            victim.unlink()
        case "added":
            (pin.folder / "new").write_text("new")
        case "altered":
            victim.write_text("b")
        case "link":
            victim.unlink()
            victim.symlink_to(pin.folder / "d")
        case "no marker":
            (pin.folder / "pin.json").unlink()
        case "broken marker":
            (pin.folder / "pin.json").write_text("[]")
        case "list":
            (pin.folder / "SHA256SUMS").write_text("")
        case "stale":
            marker = pin.folder / "pin.json"
            marker.write_text(marker.read_text().replace(str(pin.meta.sha256), "0" * 64))


@pytest.mark.parametrize(
    ("what", "found", "noticed"),
    [
        ("lost", "a.txt: absent", True),
        ("added", "new: not of this data set", True),
        ("altered", "a.txt: sha256 is", False),
        ("link", "a.txt: no longer a file", True),
        ("no marker", "not unpacked for", True),
        ("broken marker", "not unpacked for", True),
        ("list", "SHA256SUMS: altered", False),
        ("stale", "not unpacked for", True),
    ],
)
def test_a_folder_that_is_no_longer_whole(pin: Pin, what: str, found: str, noticed: bool) -> None:
    """`verify` reads every byte; `get` and `list` count files and bytes only."""
    get(pin)
    assert problems(pin) == []
    change(pin, what)
    assert any(found in problem for problem in problems(pin))
    assert state(pin).startswith("damaged: ") == noticed
    if noticed:
        with pytest.raises(BenchError, match="delete the folder and repeat `qdet-bench data get small`"):
            get(pin)


@pytest.mark.parametrize("contents", [{"files": 4}, {"bytes": 10**6}, {"bytes": 5}, {"sha256": "c" * 64}], ids=str)
def test_contents_that_are_not_as_pinned(tmp_path: Path, contents: dict[str, object]) -> None:
    values = facts(tar_of())
    values["meta"] |= {"contents": contents}
    values["meta"]["provenance"]["contents"] = "here"
    pin = put_pin(tmp_path, values)
    pin.archive.parent.mkdir(parents=True)
    pin.archive.write_bytes(tar_of())
    with pytest.raises(BenchError, match="the pin has"):
        get(pin)
    assert not pin.folder.exists() and not list(pin.folder.parent.glob(".*.partial"))
    assert pin.archive.exists(), "it has a hash of its own, and that is right"
