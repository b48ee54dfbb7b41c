"""The fused passes on a CPU, one thread, compiled by numba once and kept on disk.

Both passes compute what the eager path computes, operation by operation in float32, so that codes and the gradient of x
are equal to the bit; nothing may be contracted or reassociated but the sum of the step's gradient: of each chunk in
float32, over chunks in float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import carray, config, float32, float64, njit, types
from numba.extending import intrinsic
from torch import Tensor

from bench.quantization.kernels import Rule, alike

_RULES: dict[Rule, int] = {"paper": 0, "mqbench": 1, "rounded": 2}
_MQBENCH, _PAPER = _RULES["mqbench"], _RULES["paper"]
_CHUNK = 512
"""Entries, 2 KiB of each tensor: small enough for the accuracy of a float32 sum and for the first cache."""


def forward(x: Tensor, step: Tensor, qmin: int, qmax: int, rule: Rule) -> Tensor:
    """As Kernels has it."""
    y = torch.empty_like(x)
    _forward(x.data_ptr(), y.data_ptr(), step.data_ptr(), x.numel(), qmin, qmax, _RULES[rule])
    return y


def backward(
    x: Tensor, step: Tensor, grad: Tensor, qmin: int, qmax: int, rule: Rule, scale: float, owned: bool
) -> tuple[Tensor, Tensor]:
    """As Kernels has it."""
    grad = alike(grad, x)
    grad_x, total = grad if owned else torch.empty_like(x), torch.empty_like(step)
    _backward(
        x.data_ptr(), grad.data_ptr(), grad_x.data_ptr(), total.data_ptr(), step.data_ptr(), x.numel(), qmin, qmax,
        _RULES[rule], scale,
    )  # fmt: skip
    return grad_x, total


def _codegen_pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


if config.DISABLE_JIT:
    raise ImportError("numba is told to compile nothing")


@intrinsic  # type: ignore[untyped-decorator]
def _floats(typing_context: Any, address: Any) -> Any:
    """An address as a pointer to float32: cheaper to hand over than an array."""
    return types.CPointer(float32)(types.intp), _codegen_pointer


@njit(fastmath={"reassoc"})  # type: ignore[untyped-decorator]
def _add(total: Any, term: Any) -> Any:
    # The only operation that may be reordered: without it the loop could not be vectorized.
    return total + term


@njit  # type: ignore[untyped-decorator]
def _clip(v: Any, low: Any, high: Any) -> Any:
    # Comparisons rather than min and max, so that NaN passes.
    if v < low:
        v = low
    if v > high:
        v = high
    return v


# One function a rule, since a test inside its loop would cost more than the arithmetic. Each turns a chunk of grad into
# that of x in place and returns the chunk's part of the step's gradient.


@njit  # type: ignore[untyped-decorator]
def _paper(x: Any, grad: Any, n: int, s: Any, low: Any, high: Any) -> Any:
    part = zero = float32(0)
    for i in range(n):
        v, g = x[i] / s, grad[i]
        inside = (v > low) & (v < high)
        part = _add(part, g * (np.rint(v) - v if inside else _clip(v, low, high)))
        grad[i] = g if inside else zero
    return part


@njit  # type: ignore[untyped-decorator]
def _mqbench(x: Any, grad: Any, n: int, s: Any, reciprocal: Any, low: Any, high: Any) -> Any:
    part = zero = float32(0)
    for i in range(n):
        v, g = x[i] * reciprocal, grad[i]
        r = np.rint(v)
        inside = (r >= low) & (r <= high)
        part = _add(part, g * ((r * s - x[i]) * reciprocal if inside else _clip(v, low, high)))
        grad[i] = g if inside else zero
    return part


@njit  # type: ignore[untyped-decorator]
def _rounded(x: Any, grad: Any, n: int, s: Any, low: Any, high: Any) -> Any:
    part = zero = float32(0)
    for i in range(n):
        v, g = x[i] / s, grad[i]
        r = np.rint(v)
        inside = (r >= low) & (r <= high)
        part = _add(part, g * (r - v if inside else _clip(v, low, high)))
        grad[i] = g if inside else zero
    return part


def _compiled(*arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """Compile at import, or read from disk: beside this file or, where that cannot be written, in the user's cache."""

    def compile_(function: Callable[..., None]) -> Any:
        signature = types.void(*arguments)
        try:
            return njit(signature, cache=True, error_model="numpy", nogil=True)(function)
        except RuntimeError:  # neither place can be written
            return njit(signature, error_model="numpy", nogil=True)(function)

    return compile_


_address, _count = types.intp, types.intp


@_compiled(_address, _address, _address, _count, float32, float32, types.intp)
def _forward(x_at: Any, y_at: Any, step_at: Any, n: int, low: Any, high: Any, rule: int) -> None:
    x, y, s = carray(_floats(x_at), n), carray(_floats(y_at), n), carray(_floats(step_at), 1)[0]
    if rule == _MQBENCH:
        reciprocal = float32(1) / s
        for i in range(n):
            y[i] = np.rint(_clip(x[i] * reciprocal, low, high)) * s
    else:
        for i in range(n):
            y[i] = np.rint(_clip(x[i] / s, low, high)) * s


@_compiled(_address, _address, _address, _address, _address, _count, float32, float32, types.intp, float64)
def _backward(
    x_at: Any, grad_at: Any, grad_x_at: Any, total_at: Any, step_at: Any, n: int, low: Any, high: Any, rule: int,
    scale: Any,
) -> None:  # fmt: skip
    s = carray(_floats(step_at), 1)[0]
    total, reciprocal = 0.0, float32(1) / s
    for start in range(0, n, _CHUNK):
        count = min(_CHUNK, n - start)
        x, grad = carray(_floats(x_at + 4 * start), count), carray(_floats(grad_x_at + 4 * start), count)
        if grad_x_at != grad_at:
            # Into the cache that the loop reads: three streams of memory cost less than four.
            theirs = carray(_floats(grad_at + 4 * start), count)
            for i in range(count):
                grad[i] = theirs[i]
        if rule == _PAPER:
            total += _paper(x, grad, count, s, low, high)
        elif rule == _MQBENCH:
            total += _mqbench(x, grad, count, s, reciprocal, low, high)
        else:
            total += _rounded(x, grad, count, s, low, high)
    carray(_floats(total_at), 1)[0] = float32(total * scale)
