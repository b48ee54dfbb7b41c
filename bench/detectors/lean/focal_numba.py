"""The focal loss on a CPU, one thread, compiled by numba once and kept on disk.

All arithmetic is in float32 but the sum over chunks, which is in float64; the same machine gives the same bits. The
exponential and the logarithm are series, since a library's would keep the loop from being vectorized.
"""

from typing import Any

import numpy as np
import torch
from numba import carray, float32, int32, int64, njit, types
from numba.extending import intrinsic
from torch import Tensor

from bench.quantization.kernels.numba_path import _add, _compiled, _floats

_CHUNK = 2048
"""Entries, 8 KiB of each of three buffers: they stay in the first cache."""
_LOG2_E, _LN2_HIGH, _LN2_LOW = float32(1.4426950408889634), float32(0.693359375), float32(-2.12194440054690583e-4)
"""The high part of ln 2 has 9 bits, so that its product with a whole number of 7 is exact."""
_ROUND = float32(1.5 * 2**23)
"""Added to a number below 2^22, it leaves no room for a fraction."""


def sum_and_gradient(logits: Tensor, labels: Tensor, weights: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """As Passes has it. Raises ValueError for a label outside 0..classes."""
    rows, classes = logits.shape
    gradient, found = torch.empty_like(logits), logits.new_empty(2)
    _pass(
        logits.data_ptr(), labels.data_ptr(), weights.data_ptr(), gradient.data_ptr(), found.data_ptr(), rows, classes,
        alpha,
    )  # fmt: skip
    if found[1]:
        raise ValueError(f"labels of a focal loss over {classes} classes must lie in 0..{classes}")
    return found[0], gradient


def _codegen_bits(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@intrinsic  # type: ignore[untyped-decorator]
def _bits(typing_context: Any, value: Any) -> Any:
    """The bits of a float32 as an int32."""
    return int32(float32), _codegen_bits


@intrinsic  # type: ignore[untyped-decorator]
def _from_bits(typing_context: Any, value: Any) -> Any:
    """The float32 that has these bits."""
    return float32(int32), _codegen_bits


@intrinsic  # type: ignore[untyped-decorator]
def _integers(typing_context: Any, address: Any) -> Any:
    """An address as a pointer to int64."""
    return types.CPointer(int64)(types.intp), lambda context, builder, signature, arguments: builder.inttoptr(
        arguments[0], context.get_value_type(signature.return_type)
    )


@njit  # type: ignore[untyped-decorator]
def _exp(y: Any) -> Any:
    """e^y of y <= 0, not below the smallest normal number: 2^k * e^r, |r| <= ln(2) / 2, by Taylor's series."""
    y = float32(-87.0) if y < float32(-87.0) else y
    shifted = y * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    series = float32(1 / 5040)
    series = series * r + float32(1 / 720)
    series = series * r + float32(1 / 120)
    series = series * r + float32(1 / 24)
    series = series * r + float32(1 / 6)
    series = series * r + float32(1 / 2)
    # The large terms come last and as they are, so that only one rounding is of their size.
    series = float32(1) + (r + r * r * series)
    # The low bits of `shifted` are k; in the exponent's place, with its bias, they are 2^k.
    return series * _from_bits((_bits(shifted) << int32(23)) + int32(127 << 23))


@njit  # type: ignore[untyped-decorator]
def _log1p(z: Any) -> Any:
    """log(1 + z) of 0 <= z <= 1: 2 artanh(z / (2 + z)), by its series."""
    s = z / (float32(2) + z)
    square = s * s
    series = float32(1 / 15)
    series = series * square + float32(1 / 13)
    series = series * square + float32(1 / 11)
    series = series * square + float32(1 / 9)
    series = series * square + float32(1 / 7)
    series = series * square + float32(1 / 5)
    series = series * square + float32(1 / 3)
    return float32(2) * (s + s * square * series)


@njit  # type: ignore[untyped-decorator]
def _background(x: Any, factor: Any) -> Any:
    """factor * p^2 * softplus(x), p = sigmoid(x), and its derivative factor * p^2 * (2 (1 - p) softplus(x) + p).

    Of -x it is the loss of the true class and minus its derivative.
    """
    z = _exp(-abs(x))
    near = float32(1) / (float32(1) + z)
    far = z * near
    p, q = (near, far) if x > float32(0) else (far, near)
    high = x if x > float32(0) else float32(0)
    # As mmdet's, a logit of minus infinity costs NaN: a network that diverged must not train on at no loss.
    low = -x if x < float32(0) else float32(0)
    cost = high + _log1p(z) + (low - low)
    weight = factor * p * p
    return weight * cost, weight * (float32(2) * q * cost + p)


@njit  # type: ignore[untyped-decorator]
def _sum(values: Any, n: int) -> Any:
    part = float32(0)
    for i in range(n):
        part = _add(part, values[i])
    return part


_address = types.intp


@_compiled(_address, _address, _address, _address, _address, types.intp, types.intp, float32)
def _pass(
    x_at: Any, label_at: Any, weight_at: Any, grad_at: Any, found_at: Any, rows: int, classes: int, alpha: Any
) -> None:
    own, total, wrong = np.empty(max(_CHUNK, classes), np.float32), 0.0, 0
    step = max(_CHUNK // classes, 1)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        n = count * classes
        x, grad = carray(_floats(x_at + 4 * start * classes), n), carray(_floats(grad_at + 4 * start * classes), n)
        label, weight = carray(_integers(label_at + 8 * start), count), carray(_floats(weight_at + 4 * start), count)
        for i in range(n):
            own[i], grad[i] = _background(x[i], float32(1) - alpha)
        for row in range(count):
            first = row * classes
            if 0 <= label[row] < classes:
                i = first + label[row]
                own[i], slope = _background(-x[i], alpha)
                own[i] += x[i] - x[i]  # NaN, as mmdet's, of either infinity
                grad[i] = -slope
            elif label[row] != classes:
                wrong += 1
            w = weight[row]
            if w != float32(1):
                for i in range(first, first + classes):
                    own[i] *= w
                    grad[i] *= w
        total += _sum(own, n)
    found = carray(_floats(found_at), 2)
    found[0], found[1] = total, wrong
