"""The fused passes on a CPU, one thread, compiled by numba once and kept on disk.

Both passes compute what the eager path computes, operation by operation in float32, so that codes and the gradient of x
are equal to the bit; nothing may be contracted or reassociated but the sum of the step's gradient, in float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import carray, float32, float64, njit, types
from numba.extending import intrinsic
from torch import Tensor

from bench.quantization.kernels import Rule, alike

_RULES: dict[Rule, int] = {"paper": 0, "mqbench": 1, "rounded": 2}
_MQBENCH, _PAPER = _RULES["mqbench"], _RULES["paper"]


def forward(x: Tensor, step: Tensor, qmin: int, qmax: int, rule: Rule) -> Tensor:
    """As Kernels has it."""
    y = torch.empty_like(x)
    _forward(x.data_ptr(), y.data_ptr(), x.numel(), step.item(), qmin, qmax, _RULES[rule])
    return y


def backward(
    x: Tensor, step: Tensor, grad: Tensor, qmin: int, qmax: int, rule: Rule, scale: float
) -> tuple[Tensor, Tensor]:
    """As Kernels has it."""
    grad = alike(grad, x)
    grad_x, total = torch.empty_like(x), torch.empty_like(step)
    _backward(
        x.data_ptr(), grad.data_ptr(), grad_x.data_ptr(), total.data_ptr(), x.numel(), step.item(), qmin, qmax,
        _RULES[rule], scale,
    )  # fmt: skip
    return grad_x, total


def _codegen_pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


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


@_compiled(_address, _address, _count, float32, float32, float32, types.intp)
def _forward(x_at: Any, y_at: Any, n: int, s: Any, low: Any, high: Any, rule: int) -> None:
    x, y = carray(_floats(x_at), n), carray(_floats(y_at), n)
    if rule == _MQBENCH:
        reciprocal = float32(1) / s
        for i in range(n):
            y[i] = np.rint(_clip(x[i] * reciprocal, low, high)) * s
    else:
        for i in range(n):
            y[i] = np.rint(_clip(x[i] / s, low, high)) * s


@_compiled(_address, _address, _address, _address, _count, float32, float32, float32, types.intp, float64)
def _backward(
    x_at: Any, grad_at: Any, grad_x_at: Any, total_at: Any, n: int, s: Any, low: Any, high: Any, rule: int, scale: Any
) -> None:
    x, grad, grad_x = carray(_floats(x_at), n), carray(_floats(grad_at), n), carray(_floats(grad_x_at), n)
    total, zero, reciprocal = 0.0, float32(0), float32(1) / s
    # One loop a rule: a test inside would cost more than the arithmetic.
    if rule == _PAPER:
        for i in range(n):
            v = x[i] / s
            inside = (v > low) & (v < high)
            error = np.rint(v) - v if inside else _clip(v, low, high)
            total = _add(total, float64(grad[i] * error))
            grad_x[i] = grad[i] if inside else zero
    elif rule == _MQBENCH:
        for i in range(n):
            v = x[i] * reciprocal
            r = np.rint(v)
            inside = (r >= low) & (r <= high)
            error = (r * s - x[i]) * reciprocal if inside else _clip(v, low, high)
            total = _add(total, float64(grad[i] * error))
            grad_x[i] = grad[i] if inside else zero
    else:
        for i in range(n):
            v = x[i] / s
            r = np.rint(v)
            inside = (r >= low) & (r <= high)
            error = r - v if inside else _clip(v, low, high)
            total = _add(total, float64(grad[i] * error))
            grad_x[i] = grad[i] if inside else zero
    carray(_floats(total_at), 1)[0] = float32(total * scale)
