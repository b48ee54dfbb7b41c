"""One identity for planned and for recorded work, and the seeds derived from it."""

import hashlib
import json
from typing import Any

SCHEMA = 1
"""Raise it when the form of a protocol changes."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(protocol: dict[str, Any]) -> str:
    """64 hex digits that name a job by everything that affects its numbers."""
    return hashlib.sha256(canonical([SCHEMA, protocol]).encode()).hexdigest()


def derive_seed(*parts: Any) -> int:
    """A seed below 2^31, from what it may depend on and nothing else.

    The order of the data hangs on the data set and the repetition alone, so all methods of one
    repetition see the same images in the same order.
    """
    digest = hashlib.sha256(canonical(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
