"""Detections that somebody else made, kept to the last bit: their numbers must be those of the file that was handed in.

Predictions of jobs are rounded and packed instead (`bench.evaluation.predictions`). A NumPy archive; no pickle, nothing
in a file is trusted.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.evaluation.boxes import Detections
from bench.records.files import write_atomically

_COLUMNS = {"image": "<i8", "category": "<i8", "box": "<f8", "score": "<f8"}


def digest(found: Detections) -> str:
    """SHA-256, hexadecimal, of the content; the same on every machine."""
    content = hashlib.sha256(b"qdet-bench detections 1\n")
    content.update(len(found).to_bytes(8, "little"))
    for name, kind in _COLUMNS.items():
        content.update(np.ascontiguousarray(getattr(found, name), kind).tobytes())
    return content.hexdigest()


def save(found: Detections, path: Path) -> None:
    """Write the file as a whole or not at all. BenchError where it cannot be written."""
    arrays = {name: np.ascontiguousarray(getattr(found, name), kind) for name, kind in _COLUMNS.items()}

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    try:
        write_atomically(path, write)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from error


def load(path: Path) -> Detections:
    """What `save` wrote. BenchError, naming the file, where it is absent, unreadable or of another form."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = Detections(*(archive[name] for name in _COLUMNS))
    except OSError as error:
        raise BenchError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BenchError(f"{path}: not a file of detections; submit the predictions again with --replace") from error
    count = len(found.image)
    shapes = {name: (count, 4) if name == "box" else (count,) for name in _COLUMNS}
    if any((getattr(found, n).shape, getattr(found, n).dtype.str) != (shapes[n], k) for n, k in _COLUMNS.items()):
        raise BenchError(f"{path}: not a file of detections; submit the predictions again with --replace")
    return found
