"""A fake quantization but for its tensor, and its two passes on the kernels that serve that tensor."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bench.quantization import reference
from bench.quantization.kernels import Kernels, Rule, choose

Scheme = Literal["lsq-paper", "lsq-mqbench", "tqt", "uniform"]
RULES: dict[Scheme, Rule] = {
    "lsq-paper": "paper",
    "lsq-mqbench": "mqbench",
    "tqt": "rounded",
    "uniform": "rounded",
}


class Grid(NamedTuple):
    """Where a tensor is put, and how its gradients pass; the parameter that is trained comes separately."""

    scheme: Scheme
    qmin: int
    qmax: int
    grad_scale: float = 1.0
    """LSQ's g."""

    def forward(self, x: Tensor, parameter: Tensor) -> Tensor:
        """The values on the grid, of x's shape; `parameter` is the step s, TQT's is log2 t."""
        step = self._step(parameter)
        kernels = choose(x, step)
        if kernels is not None:
            return kernels.forward(x, step, self.qmin, self.qmax, RULES[self.scheme])
        if self.scheme in ("tqt", "uniform"):
            return reference.uniform_forward(x, step, self.qmin, self.qmax)
        return reference.lsq_forward(x, step, self.qmin, self.qmax, RULES[self.scheme])  # type: ignore[arg-type]

    def backward(self, x: Tensor, parameter: Tensor, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradients of x and of the parameter (None for `uniform`); differentiable where gradients are recorded."""
        kernels = None if torch.is_grad_enabled() else choose(x, parameter)
        if kernels is not None:
            return self._fused(kernels, x, parameter, grad)
        if self.scheme == "tqt":
            return reference.tqt_backward(x, parameter, grad, self.qmin, self.qmax)
        if self.scheme == "uniform":
            return reference.uniform_backward(x, parameter, grad, self.qmin, self.qmax), None
        variant: reference.RangeTest = "paper" if self.scheme == "lsq-paper" else "mqbench"
        return reference.lsq_backward(x, parameter, grad, self.qmin, self.qmax, self.grad_scale, variant)

    def _fused(self, kernels: Kernels, x: Tensor, parameter: Tensor, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        step = self._step(parameter)
        scale = math.log(2) if self.scheme == "tqt" else self.grad_scale
        grad_x, total = kernels.backward(x, step, grad, self.qmin, self.qmax, RULES[self.scheme], scale)
        if self.scheme == "uniform":
            return grad_x, None
        # d s / d log2 t = s ln 2, with the ceil passed straight through.
        return grad_x, total * step if self.scheme == "tqt" else total

    def _step(self, parameter: Tensor) -> Tensor:
        return reference.tqt_step(parameter, self.qmax) if self.scheme == "tqt" else parameter
