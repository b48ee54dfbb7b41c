"""The published weights that FP training starts from. They are untrusted: hashed before, and read only as tensors."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.serialization import safe_globals

from bench.detectors.checkpoint import verified_weights
from bench.detectors.onnx_yolox import load_onnx
from bench.errors import BenchError
from bench.schema.detector import Init

State = Mapping[str, Tensor]
SHOWN = 3
"""Names that a message lists of each kind."""


def initialise(model: nn.Module, init: Init, root: Path) -> None:
    """Load what `init` names into a detector that was just built.

    Raises BenchError where the file is absent, has another hash, holds more than tensors, or does not fit.
    """
    if init.kind == "scratch" or hasattr(model, "graph"):
        return  # a graph has its weights since it was built
    path = verified_weights(init, root)
    if init.kind == "onnx":
        load_onnx(model, path)
    elif init.kind == "backbone":
        # The classifier of ImageNet has no place in a detector.
        state = {name: value for name, value in read_state(path).items() if not name.startswith("fc.")}
        fit(model.get_submodule("backbone"), state, f"{path}: not a checkpoint of this backbone")
    else:
        fit(model, read_state(path), f"{path}: not a checkpoint of this detector and its classes")


def read_state(path: Path) -> State:
    """Names and tensors of a checkpoint: the mapping itself, or the one under its key `state_dict`.

    Raises BenchError where it cannot be read as tensors alone.
    """
    try:
        with safe_globals(_INERT):
            saved: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged archive raises has no common class
        raise BenchError(f"{path}: cannot be read as tensors: {_reason(error)}") from None
    state = saved.get("state_dict", saved) if isinstance(saved, dict) else saved
    if not isinstance(state, dict) or not state:
        raise BenchError(f"{path}: holds no state of a model")
    other = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if other:
        raise BenchError(f"{path}: holds more than tensors: {_some(other)}")
    # What a wrapper for several GPUs saved.
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}


def fit(module: nn.Module, state: State, fault: str) -> None:
    """Load `state` into `module`, all of it.

    Raises BenchError, a line that begins with `fault`, where names or shapes differ.
    """
    own = module.state_dict()
    # Checkpoints from before 2018 do not count batches, and nothing here reads the count.
    missing = [name for name in own if name not in state and not name.endswith(".num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    misshapen = [
        f"{name} {list(state[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    faults = [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names]
    if faults:
        raise BenchError(f"{fault}: {'; '.join(faults)}")
    module.load_state_dict(state, strict=False)


class _Inert:
    """Takes the place of what a training log left in a checkpoint: built and given a state, it does nothing."""

    def __new__(cls, *_: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_INERT: Any = [
    (_Inert, name)
    for name in (
        # mmengine's message hub, which it leaves in the checkpoints of mmdet 3: smoothed losses as NumPy arrays.
        "mmengine.logging.history_buffer.HistoryBuffer",
        "__builtin__.getattr",
        "builtins.getattr",
        *(f"numpy.{core}.multiarray.{what}" for core in ("core", "_core") for what in ("_reconstruct", "scalar")),
        "numpy.ndarray",
        "numpy.dtype",
    )
]


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _reason(error: Exception) -> str:
    """The first line that says something; torch's advice to load the file without a guard is left out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Unsupported" in line] or lines or [type(error).__name__]
    return telling[0].split(" was not an allowed global")[0].removeprefix("WeightsUnpickler error: ")
