"""What all quantizers share: integer range, observer, and the calibration mode."""

import weakref
from typing import Literal, Protocol

from torch import Tensor, nn
from torch._C import DisableTorchFunction

from bench.quantization.functional import fake_quantize
from bench.quantization.grid import Grid
from bench.quantization.ranges import integer_range
from bench.quantization.shared import Shared, versions
from bench.schema.options.observer import Granularity


class Observing(Protocol):
    """What a quantizer asks of its observer (`bench.calibration.observers`)."""

    def observe(self, x: Tensor) -> None:
        """Take one tensor into account."""

    def step(self) -> Tensor:
        """The step size that it proposes."""
        ...

    def threshold(self) -> Tensor:
        """The end of the range that it proposes."""
        ...


def step_shape(weight: tuple[int, ...], granularity: Granularity | None) -> tuple[int, ...]:
    """Shape of the step size of a weight [out, ...]: () per tensor, [out, 1, ...] per channel."""
    return (weight[0], *(1 for _ in weight[1:])) if granularity == "channel" else ()


class Quantizer(nn.Module):
    """Base of all quantizers. `mode`: `observe` feeds the observer and returns x, `off` returns x.

    A quantizer that needs no data has no observer. What holds the step size is the subclass's own: a parameter where it
    is trained, else a buffer, of `shape`: () for a whole tensor, [out, 1, ...] for a weight's output channels,
    [1, c, 1, 1] for the channels of an activation [n, c, h, w].
    """

    scheme = "uniform, symmetric"
    """In words, for tables. A quantizer with an offset writes `asymmetric`: its codes need no sign."""
    packages: tuple[str, ...] = ()
    """Python packages whose code computes it, beside this project's: part of a record's environment."""

    def __init__(self, bits: int, signed: bool, observer: Observing | None = None, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.bits, self.signed, self.shape = bits, signed, shape
        self.qmin, self.qmax = integer_range(bits, signed)
        self.observer = observer
        self._seen: weakref.ref[Tensor] | None = None
        self.readers = 1
        """How many convolutions read one tensor through it, in a pass."""
        self._shared: Shared | None = None
        self.dead = False
        """Whether calibration showed it nothing but zeros (`bench.calibration.calibrate`)."""
        self.mode: Literal["off", "observe", "quantize"] = "quantize"

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of x's shape."""
        if self.mode == "observe":
            self._observe(x)
        if self.mode != "quantize":
            return x
        # Its own operations are no readers: whoever counts a model's operations must not see them.
        with DisableTorchFunction():
            return self.quantize(x)

    def _observe(self, x: Tensor) -> None:
        """Show a tensor to the observer: once, however many layers read it, as where it stands behind its producer."""
        if self.observer is not None and (self._seen is None or self._seen() is not x):
            self.observer.observe(x)
        self._seen = weakref.ref(x)

    def quantize(self, x: Tensor) -> Tensor:
        """The method's fake quantization of `x`: on its `grid`, or any differentiable code of a subclass."""
        return fake_quantize(x, *self.grid(x))

    def grid(self, x: Tensor) -> tuple[Tensor, Grid]:
        """The parameter that is trained and the grid that `x` is put on; only `quantize` asks for them."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it quantizes")

    def shared(self, x: Tensor, parameter: Tensor) -> Shared | None:
        """What the readers of x have in common; None where there is one."""
        if self.readers == 1:
            return None
        found, now = self._shared, versions(x, parameter)
        if found is None or not found.to_come or found.x() is not x or found.versions != now:
            if found is not None:
                found.value = None
            found = Shared(x, now, self.readers)
        self.__dict__["_shared"] = found if found.to_come > 1 else None
        return found

    @property
    def has_grid(self) -> bool:
        """Whether it quantizes by its `grid`, and not by code of its own."""
        return type(self).quantize is Quantizer.quantize

    @property
    def on_grid(self) -> bool:
        """Whether a call does nothing but put its tensor on `grid`, so that it can be repeated in a backward pass."""
        plain = type(self).forward is Quantizer.forward and self.has_grid
        return plain and self.mode == "quantize" and not (self._forward_hooks or self._forward_pre_hooks)

    @property
    def observed(self) -> Observing:
        """The observer; RuntimeError where there is none."""
        if self.observer is None:
            raise RuntimeError(f"{type(self).__name__} has no observer")
        return self.observer

    def initialise(self) -> None:
        """Set what holds the step size from what was observed."""
        raise NotImplementedError(f"{type(self).__name__} does not say what holds its step size")

    @property
    def symmetric(self) -> bool:
        """Whether code 0 is the value 0, so that the codes must have the values' signs."""
        return "asymmetric" not in self.scheme

    @property
    def granularity(self) -> Granularity:
        """What shares one step size."""
        return "channel" if self.shape else "tensor"

    def extra_repr(self) -> str:
        """Bits, sign and granularity, in the model's printout."""
        return f"bits={self.bits}, signed={self.signed}, per {self.granularity}"
