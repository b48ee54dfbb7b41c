"""Fake quantization as differentiable functions.

All are symmetric: a tensor `x` of any shape and a positive `step` that broadcasts against it give
`clip(round(x / step), qmin, qmax) * step`. In all of them infinite entries saturate with finite gradients, and NaN
stays NaN. The equations stand in `reference`; `kernels` says when a fused path computes them. Second derivatives exist
and are those of the equations with straight-through rounding.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from bench.quantization.grid import Grid
from bench.quantization.kernels import choose
from bench.quantization.reference import RangeTest, tqt_step, where

__all__ = ["RangeTest", "Rounding", "fake_quantize", "lsq", "mqbench_codes", "snap", "tqt", "tqt_fixed", "tqt_step",
           "uniform"]  # fmt: skip

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
    return fake_quantize(x, step, Grid("lsq-paper" if variant == "paper" else "lsq-mqbench", qmin, qmax, grad_scale))


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
    return fake_quantize(x, log2_threshold, Grid("tqt", qmin, qmax))


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
    return fake_quantize(x, step, Grid("uniform", qmin, qmax))


def fake_quantize(x: Tensor, parameter: Tensor, grid: Grid) -> Tensor:
    """`x` on a grid, of x's shape; `parameter` is the step, TQT's is log2 t. Only x and the parameter are kept."""
    y: Tensor = _FakeQuantize.apply(x, parameter, grid)  # type: ignore[no-untyped-call]
    return y


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, parameter: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(x, parameter)
        ctx.grid, ctx.kernels = grid, choose(x, parameter)
        return grid.forward(x, parameter, ctx.kernels)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, parameter = ctx.saved_tensors
        # A derivative that is to be derived once more needs differentiable operations.
        kernels = None if torch.is_grad_enabled() else ctx.kernels
        return *ctx.grid.backward(x, parameter, grads[0], kernels), None


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
        return where(inside, grads[0]), None, None, None, None


def _negative_ties_up(v: Tensor) -> Tensor:
    """Half to even, but -1.5 -> -1 and -2.5 -> -2."""
    return torch.where((v < 0) & (v - torch.floor(v) == 0.5), torch.ceil(v), torch.round(v))
