"""What all quantizers share: integer range, observer, and the calibration mode."""

from typing import Literal

from torch import Tensor, nn

from bench.quantization.functional import fake_quantize
from bench.quantization.grid import Grid
from bench.quantization.observers import ChannelObserver, StepObserver
from bench.spec.methods import Granularity, Observer


def integer_range(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest code: [-2^(b-1), 2^(b-1) - 1] or [0, 2^b - 1]."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def step_shape(weight: tuple[int, ...], granularity: Granularity | None) -> tuple[int, ...]:
    """Shape of the step size of a weight [out, ...]: () per tensor, [out, 1, ...] per channel."""
    return (weight[0], *(1 for _ in weight[1:])) if granularity == "channel" else ()


class Quantizer(nn.Module):
    """Base of all quantizers. `mode`: `observe` feeds the observer and returns x, `off` returns x.

    What holds the step size is the subclass's own: a parameter where it is trained, else a buffer, of `shape`: () for
    a whole tensor, [out, 1, ...] for a weight's output channels.
    """

    scheme = "uniform, symmetric"

    def __init__(self, bits: int, signed: bool, observer: Observer, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.bits, self.signed, self.shape = bits, signed, shape
        self.qmin, self.qmax = integer_range(bits, signed)
        declared = (observer, self.qmin, self.qmax, signed)
        self.observer = ChannelObserver(*declared, shape) if shape else StepObserver(*declared)
        self.mode: Literal["off", "observe", "quantize"] = "quantize"

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of x's shape."""
        if self.mode == "observe":
            self.observer.observe(x)
        return self.quantize(x) if self.mode == "quantize" else x

    def quantize(self, x: Tensor) -> Tensor:
        """The method's fake quantization of `x`: on its `grid`, or any differentiable code of a subclass."""
        return fake_quantize(x, *self.grid(x))

    def grid(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The parameter that is trained and the grid that `x` is put on; only `quantize` asks for them."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it quantizes")

    @property
    def on_grid(self) -> bool:
        """Whether a call does nothing but put its tensor on `grid`, so that it can be repeated in a backward pass."""
        plain = type(self).forward is Quantizer.forward and type(self).quantize is Quantizer.quantize
        return plain and self.mode == "quantize" and not (self._forward_hooks or self._forward_pre_hooks)

    def initialise(self) -> None:
        """Set what holds the step size from what was observed."""
        raise NotImplementedError(f"{type(self).__name__} does not say what holds its step size")

    @property
    def granularity(self) -> Granularity:
        """What shares one step size."""
        return "channel" if self.shape else "tensor"

    def extra_repr(self) -> str:
        """Bits, sign and granularity, in the model's printout."""
        return f"bits={self.bits}, signed={self.signed}, per {self.granularity}"
