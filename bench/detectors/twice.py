"""DETRs that can be derived twice.

mmcv samples deformable attention by `grid_sample`, and torch may fuse attention; neither has a second derivative. The
matching of queries and targets uses `cdist` on values alone, and fused losses and quantizers have one of their own.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

_MODULE = "mmcv.ops.multi_scale_deform_attn"
"""Its package has a class of that name, which hides it."""


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """What mmdet's DETRs compute within has second derivatives; values are the same but for their last bits."""
    attention: Any = importlib.import_module(_MODULE)
    changed = {"multi_scale_deformable_attn_pytorch": deformable_attention, "IS_CUDA_AVAILABLE": False}
    before = {name: getattr(attention, name) for name in changed}
    try:
        vars(attention).update(changed)
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        vars(attention).update(before)


def deformable_attention(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Multi-scale deformable attention (2010.04159, eq. 3) by plain indexing.

    Args:
        value: [n, keys, heads, c], the levels one after the other.
        shapes: [levels, 2], height and width of each.
        locations: [n, queries, heads, levels, points, 2], (x, y) in 0..1; beyond the map everything is 0.
        weights: [n, queries, heads, levels, points].

    Returns:
        [n, queries, heads * c].
    """
    n, queries, heads, _, points, _ = locations.shape
    sizes = [(int(height), int(width)) for height, width in shapes]
    total = value.new_zeros(n, heads, queries, value.shape[-1])
    levels = torch.split(value.transpose(1, 2), [height * width for height, width in sizes], dim=2)
    for level, (values, size) in enumerate(zip(levels, sizes, strict=True)):
        # [n, heads, queries * points, ...]
        at = locations[:, :, :, level].transpose(1, 2).reshape(n, heads, queries * points, 2)
        by = weights[:, :, :, level].transpose(1, 2).reshape(n, heads, queries * points, 1)
        total = total + (_bilinear(values, size, at) * by).reshape(n, heads, queries, points, -1).sum(3)
    return total.transpose(1, 2).flatten(2)


def _bilinear(values: Tensor, size: tuple[int, int], at: Tensor) -> Tensor:
    """[n, heads, h * w, c] at [n, heads, places, 2] -> [n, heads, places, c]; pixel centres lie at halves."""
    height, width = size
    x, y = at[..., 0] * width - 0.5, at[..., 1] * height - 0.5
    left, top = x.detach().floor(), y.detach().floor()
    parts = []
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            index = torch.where(inside, row * width + column, 0).long()
            taken = values.gather(2, index[..., None].expand(*index.shape, values.shape[-1]))
            parts.append(taken * torch.where(inside, across * down, 0)[..., None])
    return torch.stack(parts).sum(0)
