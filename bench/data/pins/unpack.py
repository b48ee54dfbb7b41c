"""Write an archive's files into a folder of their own, and list them with their hashes."""

import fnmatch
import hashlib
import shutil
from pathlib import Path

from bench.data.pins.digests import CHUNK, Progress
from bench.data.pins.members import HostileError, Member, opened
from bench.errors import BenchError

MARKER, SUMS = "pin.json", "SHA256SUMS"
"""Files of ours in an unpacked folder: whose it is, and the hash of each file as `sha256sum` lists them."""


def unpack(archive: Path, folder: Path, inside: str | None, most: int | None, progress: Progress) -> dict[str, str]:
    """Write all files of the archive, or those below `inside`, into the new `folder`; name -> sha256.

    Every member is checked before the first byte is written. `most` is the number of bytes that may come out.
    Raises HostileError and BenchError as `opened` does, and BenchError for a full disk or a damaged member.
    """
    with opened(archive) as members:
        chosen = _inside(archive, members, inside)
        total = sum(member.size for _, member in chosen)
        if most is not None and total > most:
            raise HostileError(f"{archive}: unpacks to {total} bytes, the pin has {most}; nothing is unpacked")
        if (free := shutil.disk_usage(folder.parent).free) < total:
            raise BenchError(f"{folder.parent}: {free} bytes are free, {total} are needed to unpack {archive.name}")
        folder.mkdir()
        sums, done = {}, 0
        for parts, member in chosen:
            target = folder.joinpath(*parts)
            try:
                if member.open is None:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                sums["/".join(parts)] = _write(archive, member, target)
            except OSError as error:
                raise BenchError(f"{target}: cannot be written: {error.strerror or error}") from error
            done += member.size
            progress(f"unpacking {archive.name}", done, total)
    return sums


def _inside(archive: Path, members: list[Member], inside: str | None) -> list[tuple[tuple[str, ...], Member]]:
    """Members below `inside`, with their names relative to it."""
    pattern = inside.split("/") if inside else []
    chosen = []
    for member in members:
        head, rest = member.parts[: len(pattern)], member.parts[len(pattern) :]
        if rest and all(fnmatch.fnmatchcase(part, want) for part, want in zip(head, pattern, strict=True)):
            if rest[0] in (MARKER, SUMS):
                raise HostileError(f"{archive}: member {rest[0]!a} has the name of a file of ours; nothing is unpacked")
            chosen.append((rest, member))
    if not any(member.open for _, member in chosen):
        raise BenchError(f"{archive}: there is no file {f'below {inside} ' if inside else ''}in it")
    return chosen


def _write(archive: Path, member: Member, target: Path) -> str:
    """One file; its sha256. The declared size is trusted by nobody: what is more is refused, as is what is less."""
    assert member.open is not None
    digest, left = hashlib.sha256(), member.size
    with member.open() as source, target.open("xb") as sink:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            sink.write(chunk)
    if left:
        raise BenchError(f"{archive}: member {'/'.join(member.parts)!a} does not have the size that is declared")
    return digest.hexdigest()
