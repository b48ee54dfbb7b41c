"""Assignment of anchors to boxes on a CPU, one thread, compiled by numba once and kept on disk.

Overlaps are computed in float32, operation by operation as mmdet's `bbox_overlaps` has them, and are equal to the bit
but for the sign of a zero. They are compared by their bits: of numbers that are not negative these have the same order,
and NaN is above them all, as it is for PyTorch's maxima.
"""

from typing import Any

import numpy as np
from numba import carray, float32, int32, njit, types
from torch import Tensor

from bench.detectors.lean.focal_numba import _bits, _from_bits, _integers
from bench.quantization.kernels.numba_path import _compiled, _floats

_NAN = int32(0x7FC00000)
_LEAST_UNION = float32(1e-6)


def assign(
    boxes: Tensor, labels: Tensor, anchors: Tensor, low: float, high: float, positive: float, claim: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The box of each anchor (from 1; 0: none, -1: neither), its highest overlap and its label (-1 without a box), [n].

    Of boxes [k, 4] with labels [k] and anchors [n, 4], at least one of each. An anchor whose highest overlap lies in
    `low` to `high` gets none; from `positive` on, the first box that has it. Then each box whose own highest overlap
    is at least `claim` takes all anchors that have it.
    """
    n = len(anchors)
    assigned, best, own = labels.new_empty(n), boxes.new_empty(n), labels.new_empty(n)
    _assign(
        boxes.data_ptr(), labels.data_ptr(), anchors.data_ptr(), assigned.data_ptr(), best.data_ptr(), own.data_ptr(),
        len(boxes), n, low, high, positive, claim,
    )  # fmt: skip
    return assigned, best, own


# Comparisons so that NaN passes.


@njit  # type: ignore[untyped-decorator]
def _larger(a: Any, b: Any) -> Any:
    return a if a > b or a != a else b


@njit  # type: ignore[untyped-decorator]
def _smaller(a: Any, b: Any) -> Any:
    return a if a < b or a != a else b


@njit  # type: ignore[untyped-decorator]
def _overlaps(box: Any, anchors: Any, n: int, row: Any) -> Any:
    """Write the bits of a box's overlaps with n anchors; returns the highest."""
    x1, y1, x2, y2 = box[0], box[1], box[2], box[3]
    area, highest = (x2 - x1) * (y2 - y1), int32(0)
    for i in range(n):
        left, top, right, bottom = anchors[4 * i], anchors[4 * i + 1], anchors[4 * i + 2], anchors[4 * i + 3]
        width = _larger(_smaller(x2, right) - _larger(x1, left), float32(0))
        height = _larger(_smaller(y2, bottom) - _larger(y1, top), float32(0))
        overlap = width * height
        union = area + (right - left) * (bottom - top) - overlap
        bits = _bits(abs(overlap / _larger(union, _LEAST_UNION)))  # no minus zero
        bits = bits if bits < _NAN else _NAN
        row[i] = bits
        highest = bits if bits > highest else highest
    return highest


_address, _count = types.intp, types.intp


@_compiled(
    _address, _address, _address, _address, _address, _address, _count, _count, float32, float32, float32, float32
)
def _assign(
    box_at: Any, label_at: Any, anchor_at: Any, assigned_at: Any, best_at: Any, own_at: Any, k: int, n: int,
    low: Any, high: Any, positive: Any, claim: Any,
) -> None:  # fmt: skip
    boxes, labels = carray(_floats(box_at), 4 * k), carray(_integers(label_at), k)
    anchors, best_overlap = carray(_floats(anchor_at), 4 * n), carray(_floats(best_at), n)
    assigned, own = carray(_integers(assigned_at), n), carray(_integers(own_at), n)
    rows, best, which = np.empty((k, n), np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    highest = np.empty(k, np.int32)
    for box in range(k):
        row = rows[box]
        highest[box] = _overlaps(boxes[4 * box : 4 * box + 4], anchors, n, row)
        for i in range(n):
            better = row[i] > best[i]
            best[i] = row[i] if better else best[i]
            which[i] = box if better else which[i]
    for i in range(n):
        overlap = _from_bits(best[i])
        best_overlap[i] = overlap
        found = int32(0) if low <= overlap < high else int32(-1)
        which[i] = which[i] + 1 if overlap >= positive else found
    for box in range(k):
        top = highest[box]
        if _from_bits(top) >= claim:  # not of NaN
            row = rows[box]
            for i in range(n):
                # Of several boxes that claim an anchor the last one gets it.
                which[i] = box + 1 if row[i] == top else which[i]
    for i in range(n):
        assigned[i] = which[i]
        own[i] = labels[which[i] - 1] if which[i] > 0 else -1
