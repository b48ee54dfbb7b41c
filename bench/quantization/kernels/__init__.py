"""Fused fake quantization: numba on a CPU, Triton on a GPU, and the rule by which one of them is chosen.

A path is a module with `forward` and `backward`. It serves float32 tensors without gaps and a step of one element;
everything else, and every second derivative, takes the eager path (`bench.quantization.reference`), as all does where
nothing can compile. `QDET_KERNELS=eager` or `with using("eager"):` forces the eager path; `numba` and `triton`
fail if that backend is unavailable.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.imports import uncollected

KernelPath = Literal["auto", "eager", "numba", "triton"]
Rule = Literal["paper", "mqbench", "rounded"]
"""How the range is tested and the error r - v written, of v = x / s and r = round(v). `paper` (LSQ): qmin < v < qmax.
`mqbench`: v = x * (1/s), qmin <= r <= qmax, the error is (r * s - x) * (1/s). `rounded` (TQT, uniform): v = x / s,
qmin <= r <= qmax."""

_PATHS = {"cpu": "numba", "cuda": "triton"}
_asked: str | None = None


class Kernels(Protocol):
    """What a path offers; all tensors are float32, on one device, in one layout without gaps."""

    def forward(self, x: Tensor, step: Tensor, qmin: int, qmax: int, rule: Rule, least: float = 0.0) -> Tensor:
        """The values on the grid: a new tensor of x's shape and layout.

        Where `least` is not 0, the step becomes max(|step|, least) first, in place.
        """

    def backward(
        self, x: Tensor, step: Tensor, grad: Tensor, qmin: int, qmax: int, rule: Rule, scale: float, owned: bool
    ) -> tuple[Tensor, Tensor]:
        """The gradient of x, and `scale` times the sum of grad times the slope (r - v inside, else qmin or qmax), of
        the step's shape. An `owned` grad may be overwritten."""


@contextmanager
def using(path: KernelPath) -> Iterator[None]:
    """Force a path for what is computed within; `auto` is the default.

    Raises UsageError where the path's library is absent or does not compile.
    """
    global _asked
    before = _asked
    _asked = path
    try:
        _check(path)
        yield
    finally:
        _asked = before


def name(device: str) -> str:
    """The path of a device type (`cpu`, `cuda`) with its version, as the environment key has it: `numba 0.68.1`."""
    path = backend(device)
    return path if path == "eager" else f"{path} {version(path)}"


def backend(device: str) -> str:
    """`numba` or `triton` where it compiles for this device type and is not forbidden, else `eager`."""
    path = _PATHS.get(device, "eager")
    return "eager" if _eager() or _load(path) is None else path


def choose(x: Tensor, step: Tensor) -> Kernels | None:
    """The kernels that serve this tensor and step, None where the eager path does."""
    if x.dtype != torch.float32 or step.dtype != torch.float32 or step.numel() != 1 or _eager():
        return None
    if x.device != step.device or x.numel() == 0 or not dense(x):
        return None
    return _load(_PATHS.get(x.device.type, "eager"))


def dense(x: Tensor) -> bool:
    """Whether the entries of x lie in memory without gaps, in an order that a new tensor can repeat."""
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))


def alike(grad: Tensor, x: Tensor) -> Tensor:
    """`grad` in x's layout, copied where it has another."""
    return grad if grad.stride() == x.stride() else torch.empty_like(x).copy_(grad)


def _eager() -> bool:
    asked = _asked if _asked is not None else _from_environment()
    return asked == "eager"


@cache
def _from_environment() -> str:
    asked = os.environ.get("QDET_KERNELS", "auto")
    if asked not in get_args(KernelPath):
        raise UsageError(f"QDET_KERNELS={asked}: must be one of {', '.join(get_args(KernelPath))}")
    _check(asked)
    return asked


def _check(path: str) -> None:
    if path in _PATHS.values() and _load(path) is None:
        raise UsageError(f"the kernels of {path} are asked for, but {path} is not installed or cannot compile here")


@cache
def _load(path: str) -> Kernels | None:
    if path == "eager":
        return None
    try:
        with uncollected():
            module: Kernels = import_module(f"bench.quantization.kernels.{path}_path")
    except (
        Exception
    ):  # absent, of another NumPy, or its compiler does not know this processor: each has errors of its own
        return None
    return module
