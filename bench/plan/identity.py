"""One identity for planned and for recorded work, and the seeds derived from it."""

import hashlib
from typing import Any

from bench.records.canonical import canonical

SCHEMA = 1
"""Raise it when the form of a protocol changes."""


def identity(protocol: dict[str, Any]) -> str:
    """64 hex digits that name a job by everything that affects its numbers."""
    return hashlib.sha256(canonical([SCHEMA, protocol]).encode()).hexdigest()


def derive_seed(*parts: Any) -> int:
    """A seed below 2^31, from what it may depend on and nothing else.

    The order of the data hangs on the data set (of COCO files, on the training images) and the repetition alone, so
    all methods of one repetition see the same images in the same order.
    """
    digest = hashlib.sha256(canonical(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
