"""Imports of large libraries, made cheaper and safe beside other processes."""

import fcntl
import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path


@contextmanager
def uncollected() -> Iterator[None]:
    """Import without Python's collector of cyclic garbage, also usable as a decorator.

    The thousands of objects that an import makes set it off again and again; each time it walks through all that torch
    holds and frees next to nothing. That is a third of an import of numba, and a fifth of one of mmdet.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def import_yapf() -> None:
    """Import yapf, which mmengine needs, one process after the other.

    Its first import in an environment writes a grammar to the user's cache. yapf 0.43.0 gives that file its name before
    all of it is written, so a second process that starts at the same moment reads half of it (EOFError).
    """
    with (Path(tempfile.gettempdir()) / f"qdet-bench-{os.getuid()}-yapf.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        import_module("yapf")
