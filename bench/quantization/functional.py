"""Fake quantization as differentiable functions: the reference path, written as the papers' equations.

All are symmetric: a tensor `x` of any shape and a positive `step` that broadcasts against it give
`clip(round(x / step), qmin, qmax) * step`. The gradients are the papers' to the last bit, and are made of
differentiable operations, so that a second backward pass sees the same straight-through rounding.
In all of them infinite entries saturate with finite gradients, and NaN stays NaN.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

RangeTest = Literal["paper", "mqbench"]
Rounding = Literal["weight", "activation"]
"""MQBench's two rules for ties (00f477d): `weight` to even; `activation` to even above zero, toward zero below."""


def lsq(x: Tensor, step: Tensor, qmin: int, qmax: int, grad_scale: float = 1.0, variant: RangeTest = "paper") -> Tensor:
    """LSQ (1902.08153, eqs. 1 to 3): fake quantization with a learned step size.

    Args:
        x: tensor of any shape.
        step: positive step size s, one element or broadcastable against `x`.
        qmin: -QN, the smallest integer code.
        qmax: QP, the largest integer code.
        grad_scale: g, multiplies the step's gradient; the paper's is 1 / sqrt(N * QP).
        variant: the range test. `paper`: -QN < x/s < QP, before rounding. `mqbench`: the rounded x * (1/s) lies
            in [qmin, qmax], as torch's learnable fake-quantize operator has it, so MQBench and HQOD.

    Returns:
        Tensor of x's shape. Infinite entries saturate with finite gradients; NaN stays NaN.
    """
    y: Tensor = _Lsq.apply(x, step, qmin, qmax, grad_scale, variant)  # type: ignore[no-untyped-call]
    return y


def tqt(x: Tensor, log2_threshold: Tensor, qmin: int, qmax: int) -> Tensor:
    """TQT (1903.08066, eqs. 7 and 8): fake quantization with a trained threshold t and a power-of-two step.

    s = 2^ceil(log2 t) / 2^(b-1) signed, / 2^b unsigned; both divisors are qmax + 1. With r = round(x / s), the
    gradient of log2 t is s ln2 * (r - x/s where qmin <= r <= qmax, qmin below, qmax above), that of x is 1 inside and
    0 outside. The gradient passes the ceil straight through.

    Args:
        x: tensor of any shape.
        log2_threshold: log2 t, one element or broadcastable against `x`.
        qmin: n, the smallest integer code.
        qmax: p, the largest integer code.

    Returns:
        Tensor of x's shape.
    """
    y: Tensor = _Tqt.apply(x, log2_threshold, qmin, qmax)  # type: ignore[no-untyped-call]
    return y


def tqt_step(log2_threshold: Tensor, qmax: int) -> Tensor:
    """TQT's step 2^ceil(log2 t) / (qmax + 1), of log2_threshold's shape; its gradient passes the ceil."""
    power: Tensor = _PowerAbove.apply(log2_threshold)  # type: ignore[no-untyped-call]
    return power / (qmax + 1)


def tqt_fixed(x: Tensor, scale: Tensor, qmin: int, qmax: int, rounding: Rounding = "weight") -> Tensor:
    """TQT as MQBench has it (00f477d), and with it HQOD: a power-of-two step that is never trained.

    The value uses the step 2^-floor(log2(1 / scale)), or 1 where scale < 2^-15; the gradient of x is 1 where
    round(x / scale), with the *raw* scale and the rounding of activations, lies in [qmin, qmax]. There is no gradient
    of the scale (None).

    Args:
        x: tensor of any shape.
        scale: positive, one element or broadcastable against `x`.
        qmin: the smallest integer code.
        qmax: the largest integer code.
        rounding: the rule for ties; `activation` clips before it rounds.

    Returns:
        Tensor of x's shape.
    """
    y: Tensor = _TqtFixed.apply(x, scale, qmin, qmax, rounding)  # type: ignore[no-untyped-call]
    return y


def snap(scale: Tensor) -> Tensor:
    """MQBench's power of two at or above `scale` (00f477d), of its shape: 2^-floor(log2(1 / scale)), 1 below 2^-15."""
    exponent = torch.floor(torch.log2(1 / scale))
    return torch.exp2(-torch.where(scale < 2**-15, torch.zeros_like(exponent), exponent))


def mqbench_codes(v: Tensor, qmin: int, qmax: int, rounding: Rounding) -> Tensor:
    """The codes of v = x / step in MQBench's power-of-two quantizer (00f477d), of v's shape."""
    if rounding == "weight":
        return torch.round(v).clamp_(qmin, qmax)
    return _negative_ties_up(v.clamp(qmin, qmax))


def uniform(x: Tensor, step: Tensor, qmin: int, qmax: int) -> Tensor:
    """Uniform fake quantization with a fixed step: clip(round(x / s), qmin, qmax) * s (1712.05877, eq. 12).

    The gradient of x is straight-through (1308.3432): 1 where qmin <= round(x / s) <= qmax, else 0. There is no
    gradient of the step (None): a step that is to be trained needs `lsq`.

    Args:
        x: tensor of any shape.
        step: positive step size s, one element or broadcastable against `x`.
        qmin: the smallest integer code.
        qmax: the largest integer code.

    Returns:
        Tensor of x's shape.
    """
    y: Tensor = _Uniform.apply(x, step, qmin, qmax)  # type: ignore[no-untyped-call]
    return y


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
        tested = v if variant == "paper" else torch.round(v)
        inside = (v > qmin) & (v < qmax) if variant == "paper" else (tested >= qmin) & (tested <= qmax)
        outside = torch.where(inside, torch.zeros_like(v), v.clamp(qmin, qmax))
    return _Codes(inside, torch.where(inside, v, torch.zeros_like(v)), outside)


class _Lsq(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, qmin: int, qmax: int, g: float, variant: RangeTest) -> Tensor:
        ctx.save_for_backward(x, s)
        ctx.declared = (qmin, qmax, g, variant)
        codes = _codes(x, s, qmin, qmax, variant)
        return (torch.round(codes.scaled) + codes.outside) * s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        (grad,) = grads
        x, s = ctx.saved_tensors
        qmin, qmax, g, variant = ctx.declared
        codes = _codes(x, s, qmin, qmax, variant)
        rounded = _round_ste(codes.scaled)
        if variant == "paper":
            error = rounded - codes.scaled
        else:
            within = torch.where(codes.inside, x, torch.zeros_like(x))
            error = (rounded * s - within) * (1 / s)
        grad_x = torch.where(codes.inside, grad, torch.zeros_like(grad))
        grad_s = (grad * torch.where(codes.inside, error, codes.outside)).sum_to_size(s.shape) * g
        return grad_x, grad_s, None, None, None, None


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


def _rounds_into(v: Tensor, qmin: int, qmax: int) -> Tensor:
    """Whether the rounded entry is one of the codes; false for NaN."""
    rounded = torch.round(v)
    return (rounded >= qmin) & (rounded <= qmax)


def _where(mask: Tensor, x: Tensor) -> Tensor:
    """`x` where `mask` holds, else 0: a product with the mask would turn infinities into NaN."""
    return torch.where(mask, x, torch.zeros_like(x))


class _Tqt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, log2_threshold: Tensor, qmin: int, qmax: int) -> Tensor:
        ctx.save_for_backward(x, log2_threshold)
        ctx.declared = (qmin, qmax)
        s = tqt_step(log2_threshold, qmax)
        return torch.round(x / s).clamp_(qmin, qmax) * s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        x, log2_threshold = ctx.saved_tensors
        qmin, qmax = ctx.declared
        s = tqt_step(log2_threshold, qmax)
        with torch.no_grad():
            v = x / s
            inside = _rounds_into(v, qmin, qmax)
            outside = _where(~inside, v.clamp(qmin, qmax))
        scaled = _where(inside, x) / s
        slope = s * math.log(2) * (_round_ste(scaled) - scaled + outside)
        return _where(inside, grad), (grad * slope).sum_to_size(log2_threshold.shape), None, None


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


class _Uniform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, qmin: int, qmax: int) -> Tensor:
        v = x / s
        ctx.save_for_backward(_rounds_into(v, qmin, qmax))
        return torch.round(v).clamp_(qmin, qmax) * s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return _where(inside, grads[0]), None, None, None


class _TqtFixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, qmin: int, qmax: int, rounding: Rounding) -> Tensor:
        tested = _negative_ties_up(x / scale)
        ctx.save_for_backward((tested >= qmin) & (tested <= qmax))
        s = snap(scale)
        return mqbench_codes(x / s, qmin, qmax, rounding) * s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (inside,) = ctx.saved_tensors
        return _where(inside, grads[0]), None, None, None, None


def _negative_ties_up(v: Tensor) -> Tensor:
    """Half to even, but -1.5 -> -1 and -2.5 -> -2."""
    return torch.where((v < 0) & (v - torch.floor(v) == 0.5), torch.ceil(v), torch.round(v))
