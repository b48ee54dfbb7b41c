"""The parameters of a fake quantization (kind, range, gradient scale); `forward` and `backward` pick the kernels or
the reference equations."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bench.quantization import reference
from bench.quantization.kernels import Kernels, Rule

Kind = Literal["lsq-paper", "lsq-mqbench", "tqt", "uniform"]
RULES: dict[Kind, Rule] = {"lsq-paper": "paper", "lsq-mqbench": "mqbench", "tqt": "rounded", "uniform": "rounded"}


class Grid(NamedTuple):
    """Where a tensor is put, and how its gradients pass. The parameter is the step s; TQT's is log2 t."""

    kind: Kind
    qmin: int
    qmax: int
    grad_scale: float = 1.0
    """LSQ's g."""
    least: float = 0.0
    """LSQ's step becomes max(|step|, least) first, in place, where this is not 0: one that training drove through zero
    would turn every code into NaN, or swap signs."""

    def forward(self, x: Tensor, parameter: Tensor, kernels: Kernels | None) -> Tensor:
        """The values on the grid, of x's shape."""
        step = self.step(parameter)
        if kernels is not None:
            return kernels.forward(x, step, self.qmin, self.qmax, RULES[self.kind], self.least)
        if self.least:
            # Through `data`: a shared quantizer runs several times in one pass, the first time of which changes it.
            step.data.abs_().clamp_min_(self.least)
        if self.kind == "lsq-paper" or self.kind == "lsq-mqbench":
            return reference.lsq_forward(x, step, self.qmin, self.qmax, self._variant())
        return reference.uniform_forward(x, step, self.qmin, self.qmax)

    def backward(
        self, x: Tensor, parameter: Tensor, grad: Tensor, kernels: Kernels | None, owned: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The gradients of x and of the parameter (None for `uniform`).

        Without kernels both are differentiable. `owned`: nobody else reads `grad`, so that it may be overwritten.
        """
        if kernels is not None:
            step = self.step(parameter)
            grad_x, total = kernels.backward(
                x, step, grad, self.qmin, self.qmax, RULES[self.kind], self.grad_scale, owned
            )
            if self.kind == "tqt":
                # d s / d log2 t = s ln 2, with the ceil passed straight through.
                total = total * step * math.log(2)
            return grad_x, None if self.kind == "uniform" else total
        if self.kind == "tqt":
            return reference.tqt_backward(x, parameter, grad, self.qmin, self.qmax)
        if self.kind == "uniform":
            return reference.uniform_backward(x, parameter, grad, self.qmin, self.qmax), None
        return reference.lsq_backward(x, parameter, grad, self.qmin, self.qmax, self.grad_scale, self._variant())

    def slopes(self, x: Tensor, parameter: Tensor, q: Tensor, kernels: Kernels) -> tuple[Tensor, Tensor]:
        """Two factors, a tensor of x's shape and one element: their product is d value / d parameter, entry by entry.

        `q` is the value of `x`.
        """
        step = self.step(parameter)
        # The pass that keeps a gradient inside the range and sets it to 0 outside does so with x itself.
        inside, _ = kernels.backward(x, step, x, self.qmin, self.qmax, RULES[self.kind], 1.0, False)
        factor = torch.full_like(step, math.log(2)) if self.kind == "tqt" else self.grad_scale / step
        return torch.sub(q, inside, out=inside), factor

    def step(self, parameter: Tensor) -> Tensor:
        """The step s."""
        return reference.tqt_step(parameter, self.qmax) if self.kind == "tqt" else parameter

    def _variant(self) -> reference.RangeTest:
        return "paper" if self.kind == "lsq-paper" else "mqbench"
