"""Quantizers with a fixed step (1712.05877), symmetric, and with an offset."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from bench.quantization.grid import Grid
from bench.quantization.quantizer import Observing, Quantizer
from bench.quantization.shared import Versions, versions


class Scaled(Protocol):
    """A step size and an offset (`bench.calibration.range_search.Scale`)."""

    @property
    def step(self) -> float:
        """Positive."""
        ...

    @property
    def zero(self) -> int:
        """The code of the value 0."""
        ...


class ObservingBothEnds(Observing, Protocol):
    """What a quantizer with an offset asks of its observer."""

    def scale(self) -> Scaled:
        """The step size and the offset that it proposes."""
        ...


class ObservingChannels(Observing, Protocol):
    """What a quantizer with an offset for each channel asks of its observer."""

    def scales(self) -> Sequence[Scaled]:
        """The step sizes and the offsets that it proposes."""
        ...


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


class OffsetQuantizer(Quantizer):
    """Fake quantization with a fixed step s and a fixed offset z; `step` and `zero` are buffers.

    clip(round(x / s) + z, qmin, qmax) - z is clip(round(x / s), qmin - z, qmax - z): an offset shifts the range of
    codes, so the kernels of symmetric quantizers serve it. The codes have no sign, the values may have one.
    """

    scheme = "uniform, asymmetric"
    step: Tensor
    zero: Tensor
    observer: ObservingBothEnds | None

    def __init__(self, bits: int, observer: ObservingBothEnds | None = None) -> None:
        super().__init__(bits, False, observer)
        self.register_buffer("step", torch.ones(()))
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32))
        self._known: tuple[tuple[int, Versions], int] | None = None

    def grid(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The step, and the grid of uniform quantization, its codes shifted."""
        zero = self._offset()
        return self.step, Grid("uniform", self.qmin - zero, self.qmax - zero)

    @torch.no_grad()
    def set_scale(self, scale: Scaled) -> None:
        """Take a step and an offset."""
        self.step.fill_(scale.step)
        self.zero.fill_(scale.zero)

    def initialise(self) -> None:
        """The observer's step and offset."""
        if self.observer is None:
            raise RuntimeError(f"{type(self).__name__} has no observer")
        self.set_scale(self.observer.scale())

    def _offset(self) -> int:
        """The offset as a number; read from the device again only after it was written."""
        now = id(self.zero), versions(self.zero)
        if self._known is None or self._known[0] != now:
            self._known = now, int(self.zero)
        return self._known[1]


class ChannelOffsetQuantizer(Quantizer):
    """Fake quantization of an activation [n, c, h, w] with a fixed step [1, c, 1, 1] and a fixed offset [c], one of
    each for a channel; by PyTorch's own operator, since the kernels have one range of codes for a tensor."""

    scheme = "uniform, asymmetric"
    step: Tensor
    zero: Tensor
    observer: ObservingChannels | None

    def __init__(self, bits: int, observer: ObservingChannels | None, shape: tuple[int, ...]) -> None:
        super().__init__(bits, False, observer, shape)
        self.register_buffer("step", torch.ones(shape))
        self.register_buffer("zero", torch.zeros(shape[1], dtype=torch.int32))

    def quantize(self, x: Tensor) -> Tensor:
        """(clip(round(x / s) + z, qmin, qmax) - z) * s, channel by channel; gradients pass straight through inside."""
        return torch.fake_quantize_per_channel_affine(x, self.step.flatten(), self.zero, 1, self.qmin, self.qmax)

    @torch.no_grad()
    def initialise(self) -> None:
        """The observer's steps and offsets."""
        if self.observer is None:
            raise RuntimeError(f"{type(self).__name__} has no observer")
        scales = self.observer.scales()
        self.step.copy_(self.step.new_tensor([scale.step for scale in scales]).view(self.shape))
        self.zero.copy_(self.zero.new_tensor([scale.zero for scale in scales]))
