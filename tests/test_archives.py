"""Hostile and damaged archives: each is refused by name, and nothing of it reaches the disk."""

import io
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pin_files import FILES, tar_of, zip_of

from bench.data.pins import members, unpack
from bench.data.pins.digests import silent
from bench.data.pins.members import HostileError
from bench.errors import BenchError


def unpacked(tmp_path: Path, content: bytes, suffix: str, most: int | None = None) -> dict[str, str]:
    """Unpack; whatever is refused must leave no file anywhere."""
    archive = tmp_path / f"a.{suffix}"
    archive.write_bytes(content)
    folder = tmp_path / "out" / "folder"
    folder.parent.mkdir()
    try:
        return unpack.unpack(archive, folder, None, most, silent)
    except BenchError as error:
        assert "\n" not in str(error) and str(error).isprintable()
        if isinstance(error, HostileError):
            assert not folder.exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "out"]
        raise


def tar_with(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        first = tarfile.TarInfo("good")
        tar.addfile(first)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zip_with(name: str, mode: int = 0, content: bytes = b"x") -> bytes:
    out = io.BytesIO()
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("good", b"g")
        archive.writestr(info, content)
    return out.getvalue()


BAD_NAMES = {
    "../x": "leaves the folder",
    "a/../../x": "leaves the folder",
    "..": "leaves the folder",
    "/etc/x": "is absolute",
    "//x": "is absolute",
    "a\\..\\x": "no plain name has",
    "C:/x": "no plain name has",
    "a:stream": "no plain name has",
    "a\nb": "no plain name has",
    "a\x1b[2Jb": "no plain name has",
    "a\u202egpj.b": "no plain name has",
    "a//b": "is no plain name",
    "a/./b": "is no plain name",
    "a.": "is no plain name",
    "a ": "is no plain name",
    "x" * 256: "is no plain name",
    "/".join(["d"] * 17): "is no plain name",
    "good": "stands twice",
    "GOOD": "collides with 'good'",
    "Good/x": "collides with 'good'",
    "good/x": "lies below a file",
    "pin.json": "a file of ours",
    "SHA256SUMS": "a file of ours",
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", BAD_NAMES, ids=[ascii(name)[:20] for name in BAD_NAMES])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    content = tar_with(tarfile.TarInfo(name), b"x") if kind == "tar" else zip_with(name)
    with pytest.raises(HostileError, match=BAD_NAMES[name]):
        unpacked(tmp_path, content, kind)


def test_a_name_cut_at_a_nul_is_refused(tmp_path: Path) -> None:
    content = zip_with("aXb").replace(b"aXb", b"a\0b")
    with pytest.raises(BenchError, match=r"no plain name has|broken archive"):
        unpacked(tmp_path, content, "zip")


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    content = tar_with(tarfile.TarInfo("caf\udce9"), b"x")
    with pytest.raises(HostileError, match="no plain name has"):
        unpacked(tmp_path, content, "tar")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("caf\u00e9", "cafe\u0301", "collides with"),
        ("stra\u00dfe", "STRASSE", "collides with"),
        ("A/x", "a/y", "collides with"),
        ("a/b", "a", "a file and a folder"),
    ],
)
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_names_that_collide(tmp_path: Path, pack: Callable[..., bytes], first: str, second: str, words: str) -> None:
    with pytest.raises(HostileError, match=words):
        unpacked(tmp_path, pack({first: b"1", second: b"2"}), "tar" if pack is tar_of else "zip")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_tar_members_that_are_no_files(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.linkname = kind, "../../etc/passwd"
    words = "is a link" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "is a device, a pipe"
    with pytest.raises(HostileError, match=words):
        unpacked(tmp_path, tar_with(member), "tar")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_zip_members_that_are_no_files(tmp_path: Path, mode: int) -> None:
    words = "is a link" if stat.S_ISLNK(mode) else "is a device, a pipe"
    with pytest.raises(HostileError, match=words):
        unpacked(tmp_path, zip_with("x", mode, b"../../etc/passwd"), "zip")


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40), "GNU.sparse.major": "0"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(HostileError, match="is sparse"):
        unpacked(tmp_path, out.getvalue(), "tar")


def test_an_encrypted_member_and_other_methods_are_refused(tmp_path: Path) -> None:
    content = bytearray(zip_with("x"))
    place = content.rindex(b"PK\x01\x02")
    content[place + 8] |= 1
    with pytest.raises(HostileError, match="is encrypted"):
        unpacked(tmp_path, bytes(content), "zip")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x", b"x")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(HostileError, match="packed by method 14"):
        unpacked(tmp_path, out.getvalue(), "zip")


@pytest.mark.parametrize("photos", [0, 400_000])
def test_a_bomb_is_refused(tmp_path: Path, photos: int) -> None:
    """Also where photos beside it keep the whole below the ratio."""
    content = zip_of({"p": random.Random(0).randbytes(photos), "x": bytes(20 << 20)})
    assert (20 << 20) / (len(content) - photos) > 900
    with pytest.raises(HostileError, match="'x' unpacks to more than 100 times its size"):
        unpacked(tmp_path, content, "zip")


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Each alone is within the ratio, all together are not."""
    body = zip_of({"x": bytes(range(256)) * 800})
    place = body.index(b"PK\x01\x02")
    entry = body[place : body.index(b"PK\x05\x06")]
    entries = b"".join(entry[:46] + b"%c" % (33 + n) + entry[47:] for n in range(60) if chr(33 + n) not in "./:")
    count = len(entries) // len(entry)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), place, 0)
    with pytest.raises(BenchError, match=r"100 times its size|broken archive"):
        unpacked(tmp_path, body[:place] + entries + tail, "zip")


def test_more_bytes_than_the_pin_declares_are_refused(tmp_path: Path) -> None:
    total = sum(map(len, FILES.values()))
    with pytest.raises(HostileError, match=f"unpacks to {total} bytes, the pin has {total - 1}"):
        unpacked(tmp_path, tar_of(), "tar", total - 1)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 2)
    with pytest.raises(HostileError, match="more than 2 members"):
        unpacked(tmp_path, tar_of(), "tar")


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5})())
    with pytest.raises(BenchError, match="5 bytes are free"):
        unpacked(tmp_path, tar_of(), "tar")
    assert not (tmp_path / "out" / "folder").exists()


@pytest.mark.parametrize("suffix", ["tar", "zip"])
@pytest.mark.parametrize(
    "content", [b"", b"rubbish" * 500, tar_of()[:1500], tar_of()[:1300], tar_of()[:1024], zip_of()[:-30]], ids=len
)
def test_what_is_no_archive(tmp_path: Path, suffix: str, content: bytes) -> None:
    with pytest.raises(BenchError, match="broken archive"):
        unpacked(tmp_path, content, suffix)


def test_a_tar_that_breaks_at_a_header_is_not_taken_for_its_first_members(tmp_path: Path) -> None:
    """Python's tarfile would stop there without a word."""
    content = bytearray(tar_of())
    content[1024 + 10] ^= 1
    with pytest.raises(BenchError, match="broken archive: byte 1024"):
        unpacked(tmp_path, bytes(content), "tar")


def test_a_damaged_member_is_noticed(tmp_path: Path) -> None:
    content = bytearray(zip_with("x", content=b"content"))
    content[content.index(b"content")] ^= 1
    with pytest.raises(BenchError, match=r"broken archive.*CRC"):
        unpacked(tmp_path, bytes(content), "zip")


@pytest.mark.parametrize("declared", [3, 9])
def test_a_lie_about_a_members_size_is_noticed(tmp_path: Path, declared: int) -> None:
    content = bytearray(zip_with("x", content=b"content"))
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<L", declared)
    with pytest.raises(BenchError):
        unpacked(tmp_path, bytes(content), "zip")
    lying = members.Member(("x",), declared, lambda: io.BytesIO(b"content"))
    with pytest.raises(BenchError, match="not have the size that is declared"):
        unpack._write(tmp_path / "a.zip", lying, tmp_path / "x")
    assert (tmp_path / "x").stat().st_size <= declared


def test_harmless_oddities_pass(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in (".", "./a", "./a", "./a/b"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        member = tarfile.TarInfo("./a/b/\u00fc x-1.txt")
        member.mode = 0o6777
        tar.addfile(member)
    assert list(unpacked(tmp_path, out.getvalue(), "tar")) == ["a/b/\u00fc x-1.txt"]
    written = tmp_path / "out/folder/a/b/\u00fc x-1.txt"
    assert not stat.S_IMODE(written.stat().st_mode) & 0o7111, "modes of the archive are not taken over"
