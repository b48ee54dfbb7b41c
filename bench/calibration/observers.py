"""Step sizes from data (LSQ 1902.08153; TQT 1903.08066; MQBench 00f477d; VP-QOD 27f69e85)."""

import math
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from bench.calibration import search
from bench.calibration.histogram import CHANNEL_HALF, HALF
from bench.calibration.range_observer import RangeObserver
from bench.calibration.range_search import Scale
from bench.quantization.ranges import EPS, Unsigned, integer_range, or_one, step_of_range, zero_point
from bench.schema.options.observer import RANGE_KINDS, Observer


def make_observer(
    spec: Observer, bits: int, signed: bool, shape: tuple[int, ...] = ()
) -> "StepObserver | RangeObserver | ChannelObserver":
    """The observer of a quantizer; with `shape` one of each channel: [out, 1, ...] of a weight, [1, c, 1, 1] of an
    activation [n, c, h, w]."""
    if spec.kind in RANGE_KINDS:
        return channel_ranges(spec, bits, signed, shape) if shape else RangeObserver(spec, bits, signed)
    codes = (*integer_range(bits, signed), signed)
    if shape:
        return ChannelObserver(lambda: StepObserver(spec, *codes, shrinks=search.CHANNEL_SHRINK_STEPS), shape)
    return StepObserver(spec, *codes)


def channel_ranges(
    spec: Observer, bits: int, signed: bool, shape: tuple[int, ...], offset: bool = False
) -> "ChannelObserver":
    """A range, with an offset if asked for, of each channel of a weight or of an activation."""
    half = CHANNEL_HALF if shape[0] == 1 else HALF
    return ChannelObserver(lambda: RangeObserver(spec, bits, signed, offset, half), shape)


class StepObserver:
    """Sees one or many batches of a tensor and proposes its step size."""

    def __init__(
        self,
        spec: Observer,
        qmin: int,
        qmax: int,
        signed: bool,
        unsigned: Unsigned = "hqod",
        shrinks: int = search.SHRINK_STEPS,
    ) -> None:
        self.spec, self.qmin, self.qmax, self.signed, self.unsigned = spec, qmin, qmax, signed, unsigned
        self.shrinks = shrinks
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.total = 0.0
        self.count = 0
        self.exponents: Counter[int] = Counter()
        self.saw_empty = False

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take one batch `x` of any shape into account; an empty one (no proposals) has nothing to say."""
        if x.numel() == 0:
            self.saw_empty = True
        elif self.spec.kind == "lsq":
            self.total += float(x.abs().double().sum())
            self.count += x.numel()
        elif self.spec.kind == "pot_mode":
            self.exponents[self._exponent(x)] += 1
        else:
            self._merge(*self._range(x))

    def step(self) -> Tensor:
        """The step size, a tensor of no dimension; 1.0 where there were no values but zeros.

        RuntimeError where nothing was observed.
        """
        if self.count:
            return or_one(torch.tensor(2 * self.total / self.count / self.qmax**0.5))
        if self.exponents:
            most = max(self.exponents.values())
            return torch.tensor(2.0 ** -min(e for e, times in self.exponents.items() if times == most))
        low, high = self._seen()
        if self.spec.kind == "absmax":
            return or_one(torch.maximum(-low, high) / self.qmax)
        return step_of_range(low, high, self.qmin, self.qmax, self.signed, self.unsigned)

    def threshold(self) -> Tensor:
        """The end of the range, TQT's t, a tensor of no dimension; step * (qmax + 1) where there is no range.

        RuntimeError where nothing was observed.
        """
        if self.count or self.exponents:
            return self.step() * (self.qmax + 1)
        low, high = self._seen()
        end = torch.maximum(-low, high) if self.signed else high
        return torch.where(end <= 0, torch.full_like(end, self.qmax + 1), end.clamp_min(EPS))

    def _seen(self) -> tuple[Tensor, Tensor]:
        if self.low is None or self.high is None:
            if self.saw_empty:
                return torch.zeros(()), torch.zeros(())
            raise RuntimeError("the observer saw no data")
        return self.low, self.high

    def _merge(self, low: Tensor, high: Tensor) -> None:
        if self.low is None or self.high is None:
            self.low, self.high = low, high
        elif self.spec.ema is not None:
            keep = self.spec.ema
            self.low = keep * self.low + (1 - keep) * low
            self.high = keep * self.high + (1 - keep) * high
        else:
            self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)

    def _range(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of one batch, with 0 inside."""
        if self.spec.stds is not None:
            end = x.mean().abs() + self.spec.stds * x.std(correction=0)
            return -end, end
        low, high = torch.aminmax(x)
        low, high = low.clamp_max(0), high.clamp_min(0)
        if self.spec.q is not None:
            # The nearest rank: the smallest value that at least q percent do not exceed.
            end = x.abs().flatten().kthvalue(max(1, math.ceil(self.spec.q / 100 * x.numel()))).values
            return torch.maximum(low, -end), torch.minimum(high, end)
        return self._shrink(x, low, high) if self.spec.p is not None else (low, high)

    def _shrink(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        declared = (self.qmin, self.qmax, self.signed, self.unsigned)
        keeps = [1.0 - 0.01 * i for i in range(self.shrinks)]
        kept = torch.tensor(keeps, dtype=low.dtype, device=low.device)
        steps: list[float] = step_of_range(low * kept, high * kept, *declared).tolist()
        keep = keeps[search.shrink(x, steps, zero_point(*declared), self.qmin, self.qmax, self.spec.p or 2.0)]
        return low * keep, high * keep

    def _exponent(self, x: Tensor) -> int:
        low, high = torch.aminmax(x)
        ends = [high / self.qmax, *([low / self.qmin] if self.qmin else [])]
        covering = torch.stack(ends).max()
        rounding, count = self.spec.rounding or "weight", self.spec.exponents or 1
        return search.exponent(x, covering, self.qmin, self.qmax, rounding, count)


class ChannelObserver:
    """An observer of its own for each channel: along the one dimension in which `shape` is not 1."""

    def __init__(self, make: Callable[[], StepObserver | RangeObserver], shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.axis = max(range(len(shape)), key=lambda k: shape[k])
        self.channels = [make() for _ in range(shape[self.axis])]

    def observe(self, x: Tensor) -> None:
        """Take one weight [out, ...], or one batch of an activation [n, c, ...], into account."""
        own = x.unbind(self.axis) if len(self.channels) > 1 else (x,)
        for observer, channel in zip(self.channels, own, strict=True):
            observer.observe(channel)

    def scales(self) -> list[Scale]:
        """The step sizes with their offsets; RuntimeError where nothing was observed, or only steps are proposed."""
        ranges = [observer for observer in self.channels if isinstance(observer, RangeObserver)]
        if len(ranges) < len(self.channels):
            raise RuntimeError("the observer proposes no offset")
        return [observer.scale() for observer in ranges]

    def step(self) -> Tensor:
        """The step sizes, of `shape`; RuntimeError where nothing was observed."""
        return torch.stack([observer.step() for observer in self.channels]).view(self.shape)

    def threshold(self) -> Tensor:
        """The ends of the ranges, of `shape`; RuntimeError where nothing was observed."""
        return torch.stack([observer.threshold() for observer in self.channels]).view(self.shape)
