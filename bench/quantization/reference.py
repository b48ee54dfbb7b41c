"""The papers' fake quantization, equation by equation: the eager path, and what the fused ones are tested against.

Each method is a pair: `forward`, the value, and `backward`, the gradients of x and of the parameter, made of
differentiable operations, so that a second backward pass sees the same straight-through rounding.
Shapes as in `bench.quantization.functional`.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

RangeTest = Literal["paper", "mqbench"]


class _Codes(NamedTuple):
    inside: Tensor
    """Whether the entry passes the range test."""
    scaled: Tensor
    """x / s; 0 where the entry is outside, so that no infinity enters a product."""
    outside: Tensor
    """The code of the entries outside, 0 of the others."""


def _codes(x: Tensor, s: Tensor, qmin: int, qmax: int, variant: RangeTest) -> _Codes:
    v = x / s if variant == "paper" else x * (1 / s)
    with torch.no_grad():
        inside = (v > qmin) & (v < qmax) if variant == "paper" else rounds_into(v, qmin, qmax)
        outside = where(~inside, v.clamp(qmin, qmax))
    return _Codes(inside, where(inside, v), outside)


def lsq_forward(x: Tensor, s: Tensor, qmin: int, qmax: int, variant: RangeTest) -> Tensor:
    """LSQ's value, equations 1 and 2."""
    codes = _codes(x, s, qmin, qmax, variant)
    return (torch.round(codes.scaled) + codes.outside) * s


def lsq_backward(
    x: Tensor, s: Tensor, grad: Tensor, qmin: int, qmax: int, g: float, variant: RangeTest
) -> tuple[Tensor, Tensor]:
    """LSQ's gradients, equation 3 and the straight-through one of x."""
    codes = _codes(x, s, qmin, qmax, variant)
    rounded = _round_ste(codes.scaled)
    paper = variant == "paper"
    error = rounded - codes.scaled if paper else (rounded * s - where(codes.inside, x)) * (1 / s)
    slope = torch.where(codes.inside, error, codes.outside)
    return where(codes.inside, grad), (grad * slope).sum_to_size(s.shape) * g


def tqt_step(log2_threshold: Tensor, qmax: int) -> Tensor:
    """TQT's step 2^ceil(log2 t) / (qmax + 1), of log2_threshold's shape; its gradient passes the ceil."""
    power: Tensor = _PowerAbove.apply(log2_threshold)  # type: ignore[no-untyped-call]
    return power / (qmax + 1)


def uniform_forward(x: Tensor, s: Tensor, qmin: int, qmax: int) -> Tensor:
    """The value on a grid of a given step: uniform quantization's, and TQT's."""
    return torch.round(x / s).clamp_(qmin, qmax) * s


def uniform_backward(x: Tensor, s: Tensor, grad: Tensor, qmin: int, qmax: int) -> Tensor:
    """The straight-through gradient of x."""
    with torch.no_grad():
        inside = rounds_into(x / s, qmin, qmax)
    return where(inside, grad)


def tqt_backward(x: Tensor, log2_threshold: Tensor, grad: Tensor, qmin: int, qmax: int) -> tuple[Tensor, Tensor]:
    """TQT's gradients, equations 7 and 8."""
    s = tqt_step(log2_threshold, qmax)
    with torch.no_grad():
        v = x / s
        inside = rounds_into(v, qmin, qmax)
        outside = where(~inside, v.clamp(qmin, qmax))
    scaled = where(inside, x) / s
    slope = s * math.log(2) * (_round_ste(scaled) - scaled + outside)
    return where(inside, grad), (grad * slope).sum_to_size(log2_threshold.shape)


def rounds_into(v: Tensor, qmin: int, qmax: int) -> Tensor:
    """Whether the rounded entry is one of the codes; false for NaN."""
    rounded = torch.round(v)
    return (rounded >= qmin) & (rounded <= qmax)


def where(mask: Tensor, x: Tensor) -> Tensor:
    """`x` where `mask` holds, else 0: a product with the mask would turn infinities into NaN."""
    return torch.where(mask, x, torch.zeros_like(x))


def _round_ste(v: Tensor) -> Tensor:
    rounded: Tensor = _RoundSte.apply(v)  # type: ignore[no-untyped-call]
    return rounded


class _RoundSte(torch.autograd.Function):
    """Round half to even; the gradient passes as if nothing were rounded (straight-through)."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return torch.round(v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class _PowerAbove(torch.autograd.Function):
    """2^ceil(v); the gradient is that of 2^v at ceil(v) (ceil straight-through)."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return torch.exp2(torch.ceil(v))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        power: Tensor = _PowerAbove.apply(*ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return grads[0] * power * math.log(2)
