"""What an archive holds, and whether its names are safe to write.

Our own rules and not `tarfile`'s data filter, which Python 3.11.2 (Debian 12) lacks, which lets links and
colliding names pass, and which does not look into zip files. Nothing of a member is used but its name and bytes.
"""

import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from bench.errors import BenchError

MAX_MEMBERS = 1_000_000
"""COCO's largest archive, unlabeled2017, has 123,404."""
MAX_RATIO = 100
"""Unpacked bytes of a member or of all over packed bytes: photos have 1, COCO's JSON about 10, bombs 1,000."""
SLACK = 1 << 20
"""Bytes to which the ratio does not apply: a short empty mask is no bomb."""
MAX_PART, MAX_NAME, MAX_DEPTH = 255, 1024, 16
"""Bytes of a part of a name, bytes of a name, parts of a name."""


class HostileError(BenchError):
    """An archive that nothing is unpacked from."""


class Member(NamedTuple):
    """A file or folder in an archive."""

    parts: tuple[str, ...]
    size: int
    """Bytes, unpacked, as the archive declares them."""
    open: Callable[[], IO[bytes]] | None
    """None for a folder."""


@contextmanager
def opened(path: Path) -> Iterator[list[Member]]:
    """The members of a tar (not compressed) or zip file, all checked.

    Raises HostileError for a name that leaves the folder, repeats, collides or is not plain text; for links, devices,
    sparse or encrypted members; for a bomb; BenchError for what is not such an archive.
    """
    try:
        if path.suffix == ".tar":
            with tarfile.open(path, "r:") as tar:
                yield _checked(path, _tar(tar))
        else:
            with zipfile.ZipFile(path) as archive:
                yield _checked(path, _zip(archive))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise BenchError(f"{path}: a broken archive: {error}") from error


class _Raw(NamedTuple):
    name: str
    size: int
    packed: int
    folder: bool
    refusal: str | None
    open: Callable[[], IO[bytes]]


def _tar(archive: tarfile.TarFile) -> Iterator[_Raw]:
    def opener(member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
        return lambda: archive.extractfile(member)  # type: ignore[return-value]  # None only for what is refused

    for member in archive:
        refusal = None
        if member.issym() or member.islnk():
            refusal = "is a link"
        elif not (member.isdir() or member.isreg()):
            refusal = "is a device, a pipe or of an unknown kind"
        elif member.issparse() or member.size < 0:
            refusal = "is sparse or of negative size"
        yield _Raw(member.name, member.size, member.size, member.isdir(), refusal, opener(member))
    # tarfile takes a header that is damaged or cut short for the end of the archive.
    end, file = archive.offset, archive.fileobj
    if file is not None and (file.seek(end), file.read(tarfile.BLOCKSIZE))[1] != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"byte {end} is neither a member nor the end")


def _zip(archive: zipfile.ZipFile) -> Iterator[_Raw]:
    def opener(info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
        return lambda: archive.open(info)

    for info in archive.infolist():
        # The original name: `filename` is already cut at a NUL.
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        refusal = None
        if kind == stat.S_IFLNK:
            refusal = "is a link"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refusal = "is a device, a pipe or of an unknown kind"
        elif info.flag_bits & 1:
            refusal = "is encrypted"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refusal = f"is packed by method {info.compress_type}"
        elif info.is_dir() and info.file_size:
            refusal = "is a folder with content"
        yield _Raw(name, info.file_size, info.compress_size, info.is_dir(), refusal, opener(info))


def _checked(path: Path, found: Iterator[_Raw]) -> list[Member]:
    seen, total, size = Names(path), 0, path.stat().st_size
    members: list[Member] = []
    for raw in found:
        if len(members) >= MAX_MEMBERS:
            raise HostileError(f"{path}: more than {MAX_MEMBERS} members; nothing is unpacked")
        if raw.refusal is not None:
            raise HostileError(f"{path}: member {raw.name[:80]!a} {raw.refusal}; nothing is unpacked")
        parts = seen.add(raw.name, raw.folder)
        total += raw.size
        if raw.size > MAX_RATIO * raw.packed + SLACK or total > MAX_RATIO * size + SLACK:
            detail = f"unpacks to more than {MAX_RATIO} times its size"
            raise HostileError(f"{path}: member {raw.name[:80]!a} {detail}; nothing is unpacked")
        members.append(Member(parts, raw.size, None if raw.folder else raw.open))
    return members


class Names:
    """Names of an archive's members: plain, relative, each once, distinct on every file system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nodes: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}
        """Folded name -> spelling, and whether it is a file."""

    def add(self, name: str, folder: bool) -> tuple[str, ...]:
        """The parts of one more name; () for the archive's own root. Raises HostileError, naming what is wrong."""
        parts = self._parts(name, folder)
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        for depth in range(1, len(parts) + 1):
            here, is_file = parts[:depth], depth == len(parts) and not folder
            known = self._nodes.get(folded[:depth])
            if known is None:
                self._nodes[folded[:depth]] = here, is_file
                continue
            spelling, was_file = known
            if spelling != here:
                self._refuse(name, f"collides with {'/'.join(spelling)[:80]!a} where case does not count")
            if was_file:
                self._refuse(name, "stands twice, or lies below a file")
            if is_file:
                self._refuse(name, "is a file and a folder")
        return parts

    def _parts(self, name: str, folder: bool) -> tuple[str, ...]:
        if any(unicodedata.category(char).startswith("C") for char in name) or "\\" in name or ":" in name:
            self._refuse(name, "has a character that no plain name has")
        if name.startswith("/"):
            self._refuse(name, "is absolute")
        raw = (name.removesuffix("/") if folder else name).split("/")
        while raw and raw[0] == ".":
            raw = raw[1:]
        if ".." in raw:
            self._refuse(name, "leaves the folder")
        if not raw and folder:
            return ()
        odd = any(not part or part == "." or part[-1] in ". " or len(part.encode()) > MAX_PART for part in raw)
        if odd or not raw or len(raw) > MAX_DEPTH or len(name.encode()) > MAX_NAME:
            self._refuse(name, "is no plain name")
        return tuple(raw)

    def _refuse(self, name: str, why: str) -> None:
        raise HostileError(f"{self._path}: member {name[:80]!a} {why}; nothing is unpacked")
