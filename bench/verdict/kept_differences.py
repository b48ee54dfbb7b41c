"""What the image bootstrap said of two sets of predictions, kept so that it is computed once.

In the local store, and in `baselines/differences/` for those of a baseline: a clone has no predictions, which are too
large to commit, and still makes the same table.
"""

import hashlib
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.records.canonical import canonical
from bench.records.files import read_model, write_atomically, write_json
from bench.records.store import LOCAL
from bench.schema.base import Spec

LOCAL_FOLDER = LOCAL / "differences"
COMMITTED_FOLDER = Path("baselines/differences")


class KeptDifference(Spec):
    """The first row minus the second, as fractions of the metric."""

    of: dict[str, Any]
    """All that it follows from: the digests of both predictions, data, metric, categories, replicates, seed, level."""
    difference: float
    lower: float | None
    """One-sided bounds; None where too few images have an object of the categories."""
    upper: float | None
    error: float | None
    images: int
    """That were drawn from: the whole split."""
    bearing: int
    """Those with an object of the categories."""


def read(root: Path, of: Mapping[str, Any]) -> KeptDifference | None:
    """The one of these facts; None where there is none."""
    for folder in (LOCAL_FOLDER, COMMITTED_FOLDER):
        path = root / folder / _name(of)
        found = read_model(path, KeptDifference, "a difference over images", "remove it")
        if found is not None:
            if found.of != of:
                raise BenchError(f"{path}: is of other facts than its name says; remove it")
            return found
    return None


def write(root: Path, found: KeptDifference) -> None:
    """Into the local store."""
    write_json(root / LOCAL_FOLDER / _name(found.of), found.model_dump(mode="json"))


def commit(root: Path, of: Mapping[str, Any]) -> Path:
    """Copy one of the local store to where it is committed; where it is there, nothing changes. Returns the file."""
    source, path = root / LOCAL_FOLDER / _name(of), root / COMMITTED_FOLDER / _name(of)
    if source.is_file():
        write_atomically(path, partial(shutil.copyfile, source))
    return path


def _name(of: Mapping[str, Any]) -> str:
    return f"{hashlib.sha256(canonical(of).encode()).hexdigest()[:16]}.json"
