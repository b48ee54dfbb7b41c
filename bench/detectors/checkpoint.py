"""Checkpoints: written atomically, read only as tensors, and only when the hash is the expected one."""

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import nn

from bench.data.weights import absent_checkpoint, checkpoint_path, expected_hash
from bench.errors import BenchError
from bench.records.files import write_atomically
from bench.schema.detector import Init


def save_weights(model: nn.Module, path: Path) -> str:
    """Write the model's state; returns the file's sha256."""
    # Through a buffer: given a path, torch writes the file's passing name into it, and no two files are equal.
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    write_atomically(path, lambda part: part.write_bytes(buffer.getvalue()))
    return sha256(path)


def load_weights(
    model: nn.Module, path: Path, expected: str, part: str | None = None, without: str | None = None
) -> None:
    """Load the state that `save_weights` wrote, all keys of it; of the child `without`, where it has one, none.

    With `part`, a submodule's name, only that is loaded, all keys of the model's own: a detector that reads fewer
    stages of a backbone does not build the others.

    Raises BenchError where the file is absent, has another hash, holds more than tensors, or does not fit.
    """
    if not path.is_file():
        raise BenchError(f"{path}: the checkpoint to start from is absent")
    found = sha256(path)
    if found != expected:
        raise BenchError(
            f"{path}: sha256 {found[:16]}… instead of {expected[:16]}…; remove the job's folder to train it again"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # In place: a copy would lose the versions that modules find in the state.
        for key in [key for key in state if key.split(".")[0] == without]:
            del state[key]
        if part is None:
            model.load_state_dict(state)
        else:
            module = model.get_submodule(part)
            wanted = {name: f"{part}.{name}" for name in module.state_dict()}
            module.load_state_dict({name: state[full] for name, full in wanted.items() if full in state})
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
        raise BenchError(f"{path}: {str(error).splitlines()[0]}") from None


def verified_weights(init: Init, root: Path) -> Path:
    """The file that `init` names; BenchError where it is absent or has another hash."""
    path, absent = checkpoint_path(init, root), absent_checkpoint(init, root)
    if path is None or absent is not None:
        raise BenchError(absent or "no file of weights is declared")
    found = sha256(path)
    if not found.startswith(expected_hash(init)):
        mend = "fetch it again" if init.path is None else f"fetch it again, or if it is the right one write {found}"
        raise BenchError(f"{path}: sha256 {found[:16]}… instead of {expected_hash(init)[:16]}…; {mend}")
    return path


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
