"""Fake quantization as differentiable functions: the reference path, written as the papers' equations.

All are symmetric: a tensor `x` of any shape and a positive `step` that broadcasts against it give
`clip(round(x / step), qmin, qmax) * step`. The gradients are the papers' to the last bit, and are made of
differentiable operations, so that a second backward pass sees the same straight-through rounding.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

RangeTest = Literal["paper", "mqbench"]


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
