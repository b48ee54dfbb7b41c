"""The LSQ quantizer (1902.08153)."""

import torch
from torch import Tensor, nn

from bench.quantization.functional import RangeTest, lsq
from bench.quantization.quantizer import Quantizer
from bench.spec.methods import Observer


class LsqQuantizer(Quantizer):
    """Fake quantization with a learned step size whose gradient is scaled by g = 1 / sqrt(N * QP)."""

    def __init__(
        self,
        bits: int,
        signed: bool,
        observer: Observer,
        range_test: RangeTest,
        grad_scale: str,
        batched: bool,
        shape: tuple[int, ...] = (),
    ) -> None:
        super().__init__(bits, signed, observer, shape)
        self.step = nn.Parameter(torch.ones(shape))
        self.range_test = range_test
        self.grad_scale = grad_scale
        self.batched = batched
        """Whether the first dimension is the batch (activations)."""

    def quantize(self, x: Tensor) -> Tensor:
        """Tensor of x's shape, its entries multiples of the step."""
        # A step that training drove through zero would turn every code into NaN or swap signs. Through `data`, since
        # a shared quantizer runs several times in one pass, and after its first time this changes nothing.
        self.step.data.abs_().clamp_(min=torch.finfo(self.step.dtype).eps)
        return lsq(x, self.step, self.qmin, self.qmax, self._gradient_scale(x), self.range_test)

    @torch.no_grad()
    def initialise(self) -> None:
        """The observer's step."""
        self.step.copy_(self.observer.step())

    def _gradient_scale(self, x: Tensor) -> float:
        if self.grad_scale == "none":
            return 1.0
        count = x.numel() // self.step.numel()
        if self.grad_scale == "feature" and self.batched:
            count //= x.shape[0]
        return float((count * self.qmax) ** -0.5)
