"""Imports of large libraries, made cheaper."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
