"""The LSQ quantizer (1902.08153)."""

import math

import torch
from torch import Tensor, nn

from bench.quantization.grid import Grid, Kind
from bench.quantization.quantizer import Observing, Quantizer
from bench.quantization.reference import RangeTest

SMALLEST = torch.finfo(torch.float32).eps
"""Of a step."""


class LsqQuantizer(Quantizer):
    """Fake quantization with a learned step size whose gradient is scaled by g = 1 / sqrt(N * QP)."""

    def __init__(
        self,
        bits: int,
        signed: bool,
        observer: Observing,
        range_test: RangeTest,
        grad_scale: str,
        batched: bool,
        shape: tuple[int, ...] = (),
    ) -> None:
        super().__init__(bits, signed, observer, shape)
        self.step = nn.Parameter(torch.ones(shape))
        self.rule: Kind = "lsq-paper" if range_test == "paper" else "lsq-mqbench"
        self.grad_scale = grad_scale
        self.batched = batched
        """Whether the first dimension is the batch (activations)."""

    def grid(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The step, and LSQ's grid with the gradient scale of x's size."""
        return self.step, Grid(self.rule, self.qmin, self.qmax, self._gradient_scale(x), SMALLEST)

    @torch.no_grad()
    def initialise(self) -> None:
        """The observer's step."""
        self.step.copy_(self.observed.step())

    def _gradient_scale(self, x: Tensor) -> float:
        if self.grad_scale == "none":
            return 1.0
        count = x.numel() // math.prod(self.shape)
        if self.grad_scale == "feature" and self.batched:
            count //= max(1, x.shape[0])
        # An empty tensor (no proposals) gives no gradient, whatever the scale.
        return float((max(1, count) * self.qmax) ** -0.5)
