"""Whether an archive is the pinned one: its size and every hash that the pin has."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from bench.data.pins.pin import Pin

CHUNK = 1 << 20
"""Bytes read at once."""

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, the bytes done and the bytes in all (None: unknown)."""


def silent(what: str, done: int, total: int | None) -> None:
    """A Progress that says nothing."""


def archive_fault(path: Path, pin: Pin, progress: Progress) -> str | None:
    """What differs from the pin, with both values of each hash; None where size, md5 and sha256 all agree.

    All are compared, so that one wrong source of a hash cannot pass for the right one. Raises OSError.
    """
    size = path.stat().st_size
    if pin.size not in (None, size):
        return f"it has {size} bytes, the pin has {pin.size}"
    wanted = {"md5": pin.md5, "sha256": pin.meta.sha256}
    hashes = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    done = 0
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            for running in hashes.values():
                running.update(chunk)
            done += len(chunk)
            progress(f"checking {path.name}", done, size)
    found = {kind: running.hexdigest() for kind, running in hashes.items()}
    wrong = [(kind, value) for kind, value in wanted.items() if value not in (None, found[kind])]
    return "; ".join(f"{kind} is {found[kind]}, the pin has {value}" for kind, value in wrong) or None
