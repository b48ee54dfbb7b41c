"""The fused passes on a GPU, compiled by Triton. The step is read on the device; nothing waits for it.

The same operations as on a CPU: divisions rounded to nearest, nothing contracted, so that codes and the gradient of x
are the eager path's. The step's gradient is summed by blocks, then over blocks, in an order that is always the same.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bench.quantization.kernels import Rule, alike

_RULES: dict[Rule, int] = {"paper": 0, "mqbench": 1, "rounded": 2}
_BLOCK = 1024
_EXACT = {"enable_fp_fusion": False}


def forward(x: Tensor, step: Tensor, qmin: int, qmax: int, rule: Rule, least: float = 0.0) -> Tensor:
    """As Kernels has it."""
    y = torch.empty_like(x)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _forward[_blocks(x),](
            x, y, step, x.numel(), qmin, qmax, least, MENDS=least > 0, RULE=_RULES[rule], BLOCK=_BLOCK, **_EXACT
        )
    return y


def backward(
    x: Tensor, step: Tensor, grad: Tensor, qmin: int, qmax: int, rule: Rule, scale: float, owned: bool
) -> tuple[Tensor, Tensor]:
    """As Kernels has it."""
    grad = alike(grad, x)
    grad_x, parts = grad if owned else torch.empty_like(x), x.new_empty(_blocks(x))
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _backward[_blocks(x),](
            x, grad, grad_x, parts, step, x.numel(), qmin, qmax, RULE=_RULES[rule], BLOCK=_BLOCK, **_EXACT
        )
    total = parts.sum(dtype=torch.float64).mul_(scale)
    return grad_x, total.to(step.dtype).reshape(step.shape)


def _blocks(x: Tensor) -> int:
    return -(-x.numel() // _BLOCK)


# Annotations are strings, since Triton would look for their names among its own.


@triton.jit  # type: ignore[untyped-decorator]
def _clip(v: "Any", low: "Any", high: "Any") -> "Any":
    # Comparisons rather than minimum and maximum, so that NaN passes.
    v = tl.where(v < low, low, v)
    return tl.where(v > high, high, v)


@triton.jit  # type: ignore[untyped-decorator]
def _round(v: "Any") -> "Any":
    # Half to even, of |v| < 2^22: the sum has no room for a fraction.
    return (v + 12582912.0) - 12582912.0


@triton.jit  # type: ignore[untyped-decorator]
def _scaled(x: "Any", s: "Any", RULE: tl.constexpr) -> "Any":  # noqa: N803
    if RULE == 1:
        v = x * tl.math.div_rn(tl.full(x.shape, 1.0, tl.float32), s + tl.zeros_like(x))
    else:
        v = tl.math.div_rn(x, s + tl.zeros_like(x))
    return v


@triton.jit  # type: ignore[untyped-decorator]
def _forward(
    x_at: "Any", y_at: "Any", s_at: "Any", n: "Any", qmin: "Any", qmax: "Any", least: "Any", MENDS: tl.constexpr,  # noqa: N803
    RULE: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
) -> None:  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mine = at < n
    s = tl.load(s_at)
    if MENDS:
        found, s = s, tl.abs(s)
        s = tl.where(s < least, least, s)
        # A program that reads the step after this makes the same of it.
        tl.store(s_at, s, mask=(tl.program_id(0) == 0) & (s != found))
    x = tl.load(x_at + at, mask=mine, other=0.0)
    low, high = tl.cast(qmin, tl.float32), tl.cast(qmax, tl.float32)
    tl.store(y_at + at, _round(_clip(_scaled(x, s, RULE), low, high)) * s, mask=mine)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(
    x_at: "Any", grad_at: "Any", grad_x_at: "Any", parts_at: "Any", s_at: "Any", n: "Any", qmin: "Any", qmax: "Any",
    RULE: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
) -> None:  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mine = at < n
    s = tl.load(s_at)
    x = tl.load(x_at + at, mask=mine, other=0.0)
    grad = tl.load(grad_at + at, mask=mine, other=0.0)
    low, high = tl.cast(qmin, tl.float32), tl.cast(qmax, tl.float32)
    v = _scaled(x, s, RULE)
    # Within one code beyond the range the rounding is exact and the range test the same.
    r = _round(_clip(v, low - 1, high + 1))
    inside = (v > low) & (v < high) if RULE == 0 else (r >= low) & (r <= high)
    if RULE == 1:
        error = (r * s - x) * tl.math.div_rn(tl.full(x.shape, 1.0, tl.float32), s + tl.zeros_like(x))
    else:
        error = r - v
    error = tl.where(inside, error, _clip(v, low, high))
    tl.store(grad_x_at + at, tl.where(inside, grad, 0.0), mask=mine)
    tl.store(parts_at + tl.program_id(0), tl.sum(grad * error))
