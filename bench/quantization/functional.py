"""Fake quantization as differentiable functions: the reference path, written as the papers' equations.

All are symmetric: a tensor `x` of any shape and a positive `step` that broadcasts against it give
`clip(round(x / step), qmin, qmax) * step`. Every operation supports double backward.
"""

from typing import Any, Literal

import torch
from torch import Tensor

RangeTest = Literal["paper", "mqbench"]


class _RoundSte(torch.autograd.Function):
    """Round half to even; the gradient passes as if nothing were rounded (straight-through)."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return torch.round(v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a constant."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        # A copy: the quantizer clamps its step in place before each call.
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def lsq(
    x: Tensor, step: Tensor, qmin: int, qmax: int, grad_scale: float = 1.0, variant: RangeTest = "paper"
) -> Tensor:
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
    s: Tensor = _ScaleGradient.apply(step, grad_scale)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        if variant == "paper":
            v = x / s
            inside = (v > qmin) & (v < qmax)
        else:
            v = x * (1 / s)
            code = torch.round(v)
            inside = (code >= qmin) & (code <= qmax)
        outside_code = torch.clamp(v, qmin, qmax)
    # Entries outside are constants; zero in their place keeps an infinity out of the step's gradient.
    within = torch.where(inside, x, torch.zeros_like(x))
    scaled = within / s if variant == "paper" else within * (1 / s)
    rounded: Tensor = _RoundSte.apply(scaled)  # type: ignore[no-untyped-call]
    codes = torch.where(inside, rounded, outside_code)
    return codes * s
