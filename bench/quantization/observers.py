"""Step sizes from data (LSQ 1902.08153; MQBench 00f477d; VP-QOD 27f69e85)."""

import torch
from torch import Tensor

from bench.spec.methods import Observer

SHRINK_STEPS = 95
"""MQBench's MSE observer tries the range shrunk by 0, 1, ... 94 percent (per tensor)."""


def step_of_range(low: Tensor, high: Tensor, qmin: int, qmax: int, signed: bool) -> Tensor:
    """Step size for values in [low, high]: unsigned high / (qmax - qmin), signed max|x| / ((qmax - qmin) / 2).

    As HQOD's released code has it (VP-QOD 27f69e85).
    """
    step = torch.maximum(-low, high) / ((qmax - qmin) / 2) if signed else high / (qmax - qmin)
    return step.clamp_min(torch.finfo(step.dtype).eps)


class StepObserver:
    """Sees one or many batches of a tensor and proposes its step size."""

    def __init__(self, spec: Observer, qmin: int, qmax: int, signed: bool) -> None:
        self.spec, self.qmin, self.qmax, self.signed = spec, qmin, qmax, signed
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.total = 0.0
        self.count = 0

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take one batch `x` of any shape into account."""
        if self.spec.kind == "lsq":
            self.total += float(x.abs().double().sum())
            self.count += x.numel()
            return
        low, high = torch.aminmax(x)
        low, high = low.clamp_max(0), high.clamp_min(0)
        if self.spec.kind in ("mse", "ema_mse"):
            low, high = self._shrink(x, low, high)
        if self.low is None or self.high is None:
            self.low, self.high = low, high
        elif self.spec.kind == "ema_mse":
            keep = self.spec.ema or 0.0
            self.low = keep * self.low + (1 - keep) * low
            self.high = keep * self.high + (1 - keep) * high
        else:
            self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)

    def step(self) -> Tensor:
        """The step size, a tensor of no dimension; RuntimeError where nothing was observed."""
        if self.spec.kind == "lsq":
            if not self.count:
                raise RuntimeError("the observer saw no data")
            step = 2 * self.total / self.count / self.qmax**0.5
            return torch.tensor(max(step, torch.finfo(torch.float32).eps))
        if self.low is None or self.high is None:
            raise RuntimeError("the observer saw no data")
        return step_of_range(self.low, self.high, self.qmin, self.qmax, self.signed)

    def _shrink(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        best, best_error = 0, float("inf")
        for i in range(SHRINK_STEPS):
            keep = 1.0 - 0.01 * i
            step = step_of_range(low * keep, high * keep, self.qmin, self.qmax, self.signed)
            quantized = torch.fake_quantize_per_tensor_affine(x, float(step), 0, self.qmin, self.qmax)
            error = float((quantized - x).abs().pow_(self.spec.p or 2.0).mean())
            if error < best_error:
                best, best_error = i, error
        keep = 1.0 - 0.01 * best
        return low * keep, high * keep
