"""`data get` and `data verify`: from a pin to a whole folder, and back to what is wrong with it."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.data.pins.digests import Progress, archive_fault, silent
from bench.data.pins.fetch import ORDINARY, Patience, addresses, fetch
from bench.data.pins.folder import faults, finish, whole
from bench.data.pins.pin import Pin
from bench.data.pins.unpack import unpack
from bench.errors import BenchError


def get(pin: Pin, override: str | None = None, patience: Patience = ORDINARY, progress: Progress = silent) -> bool:
    """Download, verify and unpack what is not there yet; False where nothing was to be done.

    A second process waits for the first. Whatever goes wrong, nothing half stands under a final name.
    Raises UsageError for a wrong `override`, BenchError with the mend for everything else.
    """
    addresses(pin, override)
    if whole(pin):
        return False
    try:
        pin.archive.parent.mkdir(parents=True, exist_ok=True)
        with _locked(pin.archive.parent / ".lock", pin, progress):
            if whole(pin):
                return False
            _archive(pin, override, patience, progress)
            _unpack(pin, progress)
    except OSError as error:
        raise BenchError(f"{error.filename or pin.folder}: {error.strerror or error}") from error
    return True


def problems(pin: Pin, progress: Progress = silent) -> list[str]:
    """What is wrong with the archive and with the folder, each where it is there.

    Raises BenchError where neither is.
    """
    found = []
    if not pin.archive.exists() and not pin.folder.exists():
        raise BenchError(f"{pin.name}: not there; `qdet-bench data get {pin.name}` downloads it")
    if pin.archive.exists() and (fault := archive_fault(pin.archive, pin, progress)) is not None:
        found.append(f"{pin.archive}: {fault}")
    if pin.folder.exists():
        found += faults(pin, progress)
    return found


def state(pin: Pin) -> str:
    """One word and perhaps a reason: `present`, `absent`, `part`, `archive`, or `damaged: …`. Reads no contents."""
    try:
        if whole(pin):
            return "present"
    except BenchError as error:
        return f"damaged: {error}"
    if pin.archive.exists():
        return "archive"
    return "part" if pin.archive.with_name(pin.archive.name + ".part").exists() else "absent"


def _archive(pin: Pin, override: str | None, patience: Patience, progress: Progress) -> None:
    """The verified archive; one that is there, perhaps put there by hand, is verified first."""
    if not pin.archive.exists():
        fetch(pin, override, patience, progress)
    elif (fault := archive_fault(pin.archive, pin, progress)) is not None:
        raise BenchError(f"{pin.archive}: {fault}; delete it and repeat `qdet-bench data get {pin.name}`")


def _unpack(pin: Pin, progress: Progress) -> None:
    partial = pin.folder.with_name(f".{pin.name}.partial")
    # Whoever holds the lock is the only writer, so a leftover is that of a killed one.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        sums = unpack(pin.archive, partial, pin.meta.inside, pin.meta.contents.bytes, progress)
        finish(partial, pin, sums)
    except BenchError:
        shutil.rmtree(partial, ignore_errors=True)
        if pin.meta.sha256 is None:
            # Nothing else tells a damaged archive of this pin from a sound one, so the next attempt starts anew.
            pin.archive.unlink(missing_ok=True)
        raise
    partial.rename(pin.folder)


@contextmanager
def _locked(path: Path, pin: Pin, progress: Progress) -> Iterator[None]:
    """Hold an advisory lock, which the system releases even if the process is killed."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that gets {pin.name}", 0, None)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
