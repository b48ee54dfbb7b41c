"""The focal loss on a GPU, compiled by Triton: the CPU's formulas, summed by blocks, then over blocks, in one order."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def sum_and_gradient(logits: Tensor, labels: Tensor, weights: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """As Passes has it; a label outside 0..classes counts as background, since to look would wait for the GPU."""
    blocks = -(-logits.numel() // _BLOCK)
    gradient, parts = torch.empty_like(logits), logits.new_empty(blocks)
    with torch.cuda.device_of(logits):  # type: ignore[no-untyped-call]
        _pass[blocks,](logits, labels, weights, gradient, parts, logits.numel(), logits.shape[1], alpha, BLOCK=_BLOCK)
    return parts.sum(dtype=torch.float64).to(logits.dtype), gradient


# Annotations are strings, since Triton would look for their names among its own.


@triton.jit  # type: ignore[untyped-decorator]
def _pass(
    x_at: "Any", label_at: "Any", weight_at: "Any", grad_at: "Any", parts_at: "Any", n: "Any", classes: "Any",
    alpha: "Any", BLOCK: tl.constexpr,  # noqa: N803
) -> None:  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mine = at < n
    row = at // classes
    true = tl.load(label_at + row, mask=mine, other=-1) == at - row * classes
    weight = tl.load(weight_at + row, mask=mine, other=0.0)
    x = tl.load(x_at + at, mask=mine, other=0.0)
    # The loss of the true class is that of another at -x.
    x = tl.where(true, -x, x)
    z = tl.exp(-tl.abs(x))
    near = tl.math.div_rn(tl.full(x.shape, 1.0, tl.float32), 1.0 + z)
    far = z * near
    p, q = tl.where(x > 0, near, far), tl.where(x > 0, far, near)
    # log(1 + z) = 2 artanh(z / (2 + z))
    s = tl.math.div_rn(z, 2.0 + z)
    square = s * s
    series = square * (1.0 / 15) + 1.0 / 13
    series = series * square + 1.0 / 11
    series = series * square + 1.0 / 9
    series = series * square + 1.0 / 7
    series = series * square + 1.0 / 5
    series = series * square + 1.0 / 3
    series = series * square + 1.0
    # As mmdet's, of the true class either infinity costs NaN, of another minus infinity does.
    low = tl.where((x > 0) & (true == 0), 0.0, x)
    cost = tl.where(x > 0, x, 0.0) + 2.0 * s * series + (low - low)
    factor = weight * tl.where(true, alpha, 1.0 - alpha) * p * p
    slope = factor * (2.0 * q * cost + p)
    tl.store(grad_at + at, tl.where(true, -slope, slope), mask=mine)
    tl.store(parts_at + tl.program_id(0), tl.sum(tl.where(mine, factor * cost, 0.0)))
