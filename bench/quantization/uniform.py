"""The quantizer with a fixed step (1712.05877)."""

import torch
from torch import Tensor

from bench.quantization.grid import Grid
from bench.quantization.quantizer import Observing, Quantizer


class UniformQuantizer(Quantizer):
    """Fake quantization with a step found at calibration; `step` is a buffer."""

    step: Tensor

    def __init__(self, bits: int, signed: bool, observer: Observing, shape: tuple[int, ...] = ()) -> None:
        super().__init__(bits, signed, observer, shape)
        self.register_buffer("step", torch.ones(shape))

    def grid(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The step, and the grid of uniform quantization."""
        return self.step, Grid("uniform", self.qmin, self.qmax)

    @torch.no_grad()
    def initialise(self) -> None:
        """The observer's step."""
        self.step.copy_(self.observed.step())
