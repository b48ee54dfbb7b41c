"""The TQT quantizers: with a trained threshold (1903.08066), and as MQBench has it (00f477d)."""

import torch
from torch import Tensor, nn

from bench.quantization.functional import Rounding, tqt_fixed, tqt_step
from bench.quantization.grid import Grid
from bench.quantization.quantizer import Observing, Quantizer


class TqtQuantizer(Quantizer):
    """Fake quantization with a power-of-two step that covers a trained threshold t, kept as log2 t."""

    scheme = "uniform, symmetric, power of two"

    def __init__(self, bits: int, signed: bool, observer: Observing, shape: tuple[int, ...] = ()) -> None:
        super().__init__(bits, signed, observer, shape)
        self.log2_threshold = nn.Parameter(torch.zeros(shape))

    @property
    def step(self) -> Tensor:
        """The step size in use, of `shape`."""
        return tqt_step(self.log2_threshold, self.qmax)

    def grid(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The threshold's logarithm, and TQT's grid."""
        return self.log2_threshold, Grid("tqt", self.qmin, self.qmax)

    @torch.no_grad()
    def initialise(self) -> None:
        """The threshold is the end of the observed range."""
        self.log2_threshold.copy_(torch.log2(self.observed.threshold()))


class TqtFixedQuantizer(Quantizer):
    """Fake quantization with a power-of-two step found at calibration; `step` is a buffer."""

    scheme = "uniform, symmetric, power of two"
    step: Tensor

    def __init__(self, bits: int, signed: bool, observer: Observing, rounding: Rounding) -> None:
        super().__init__(bits, signed, observer)
        self.rounding = rounding
        self.register_buffer("step", torch.ones(()))

    def quantize(self, x: Tensor) -> Tensor:
        """Tensor of x's shape, its entries multiples of the power of two at or above the step."""
        return tqt_fixed(x, self.step, self.qmin, self.qmax, self.rounding)

    @torch.no_grad()
    def initialise(self) -> None:
        """The observer's step."""
        self.step.copy_(self.observed.step())
