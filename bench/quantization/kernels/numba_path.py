"""The fused passes on a CPU, one thread, compiled by numba once and kept on disk.

Both passes compute what the eager path computes, operation by operation in float32, so that codes and the gradient of x
are equal to the bit; nothing may be contracted or reassociated but the sum of the step's gradient: of each chunk in
float32, over chunks in float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray, config, float32, float64, njit, types
from numba.extending import intrinsic
from torch import Tensor

from bench.quantization.kernels import Rule, alike

_RULES: dict[Rule, int] = {"paper": 0, "mqbench": 1, "rounded": 2}
_MQBENCH, _PAPER = _RULES["mqbench"], _RULES["paper"]
_CHUNK = 512
"""Entries, 2 KiB of each tensor: small enough for the accuracy of a float32 sum and for the first cache."""
_LARGE = 4 * 2**20
"""Entries, 16 MiB: what is written of a tensor this large has left every cache before anybody reads it."""


def forward(x: Tensor, step: Tensor, qmin: int, qmax: int, rule: Rule, least: float = 0.0) -> Tensor:
    """As Kernels has it."""
    y = torch.empty_like(x)
    _forward(x.data_ptr(), y.data_ptr(), step.data_ptr(), x.numel(), qmin, qmax, _RULES[rule], least)
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


def _codegen_stream(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vector = ir.VectorType(ir.FloatType(), 8).as_pointer()
    to, source = (builder.inttoptr(address, vector) for address in arguments)
    value = builder.load(source, align=4)
    store = builder.store(value, to, align=32)
    store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def _stream(typing_context: Any, to: Any, source: Any) -> Any:
    """Write 8 entries past the caches, to an address that is a multiple of 32. Other threads see them once a lock of
    any kind was taken, as Python's is before they run."""
    return types.void(types.intp, types.intp), _codegen_stream


@njit  # type: ignore[untyped-decorator]
def _hand_over(to: Any, source: Any, count: Any) -> None:
    # Memory that is about to be overwritten whole need not be read first.
    for i in range(count // 8):
        _stream(to + 32 * i, source + 32 * i)
    rest = count // 8 * 8
    left, right = carray(_floats(to), count), carray(_floats(source), count)
    for i in range(rest, count):
        left[i] = right[i]


@njit  # type: ignore[untyped-decorator]
def _mended(step_at: Any, least: Any) -> Any:
    step = carray(_floats(step_at), 1)
    if least > 0 and step[0] < least:
        step[0] = max(abs(step[0]), least)
    return step[0]


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


# One function a rule: whether x is inside the range, and the slope, of which the step's gradient is made.


@njit  # type: ignore[untyped-decorator]
def _paper(x: Any, s: Any, low: Any, high: Any) -> Any:
    v = x / s
    inside = (v > low) & (v < high)
    return inside, np.rint(v) - v if inside else _clip(v, low, high)


@njit  # type: ignore[untyped-decorator]
def _mqbench(x: Any, s: Any, low: Any, high: Any) -> Any:
    reciprocal = float32(1) / s
    v = x * reciprocal
    r = np.rint(v)
    inside = (r >= low) & (r <= high)
    return inside, (r * s - x) * reciprocal if inside else _clip(v, low, high)


@njit  # type: ignore[untyped-decorator]
def _rounded(x: Any, s: Any, low: Any, high: Any) -> Any:
    v = x / s
    r = np.rint(v)
    inside = (r >= low) & (r <= high)
    return inside, r - v if inside else _clip(v, low, high)


def _loops(rule: Any) -> tuple[Any, Any]:
    """Both turn a chunk of grad into that of x and return the chunk's part of the step's gradient: in place, and into
    other memory. One loop for both would not be vectorized where the memory is the same."""

    @njit  # type: ignore[untyped-decorator]
    def in_place(x: Any, grad: Any, n: int, s: Any, low: Any, high: Any) -> Any:
        part = zero = float32(0)
        for i in range(n):
            g = grad[i]
            inside, slope = rule(x[i], s, low, high)
            part = _add(part, g * slope)
            grad[i] = g if inside else zero
        return part

    @njit(forceinline=True)  # type: ignore[untyped-decorator]
    def apart(x: Any, grad: Any, out: Any, n: int, s: Any, low: Any, high: Any) -> Any:
        part = zero = float32(0)
        for i in range(n):
            g = grad[i]
            inside, slope = rule(x[i], s, low, high)
            part = _add(part, g * slope)
            out[i] = g if inside else zero
        return part

    return in_place, apart


_paper_in_place, _paper_apart = _loops(_paper)
_mqbench_in_place, _mqbench_apart = _loops(_mqbench)
_rounded_in_place, _rounded_apart = _loops(_rounded)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _in_place(x: Any, grad: Any, n: int, s: Any, low: Any, high: Any, rule: int) -> Any:
    # A test of the rule inside the loop would cost more than the arithmetic.
    if rule == _PAPER:
        return _paper_in_place(x, grad, n, s, low, high)
    if rule == _MQBENCH:
        return _mqbench_in_place(x, grad, n, s, low, high)
    return _rounded_in_place(x, grad, n, s, low, high)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _apart(x: Any, grad: Any, out: Any, n: int, s: Any, low: Any, high: Any, rule: int) -> Any:
    if rule == _PAPER:
        return _paper_apart(x, grad, out, n, s, low, high)
    if rule == _MQBENCH:
        return _mqbench_apart(x, grad, out, n, s, low, high)
    return _rounded_apart(x, grad, out, n, s, low, high)


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


@_compiled(_address, _address, _address, _count, float32, float32, types.intp, float32)
def _forward(x_at: Any, y_at: Any, step_at: Any, n: int, low: Any, high: Any, rule: int, least: Any) -> None:
    s = _mended(step_at, least)
    reciprocal = float32(1) / s
    streams = n >= _LARGE and y_at % 32 == 0
    own = np.empty(_CHUNK if streams else 0, np.float32)
    for start in range(0, n, _CHUNK):
        count, at = min(_CHUNK, n - start), 4 * start
        into = own.ctypes.data if streams else y_at + at
        x, y = carray(_floats(x_at + at), count), carray(_floats(into), count)
        if rule == _MQBENCH:
            for i in range(count):
                y[i] = np.rint(_clip(x[i] * reciprocal, low, high)) * s
        else:
            for i in range(count):
                y[i] = np.rint(_clip(x[i] / s, low, high)) * s
        if streams:
            _hand_over(y_at + at, into, count)


@_compiled(_address, _address, _address, _address, _address, _count, float32, float32, types.intp, float64)
def _backward(
    x_at: Any, grad_at: Any, grad_x_at: Any, total_at: Any, step_at: Any, n: int, low: Any, high: Any, rule: int,
    scale: Any,
) -> None:  # fmt: skip
    s, total = carray(_floats(step_at), 1)[0], 0.0
    in_place = grad_x_at == grad_at
    streams = n >= _LARGE and grad_x_at % 32 == 0 and not in_place
    own = np.empty(_CHUNK if streams else 0, np.float32)
    for start in range(0, n, _CHUNK):
        count, at = min(_CHUNK, n - start), 4 * start
        x, grad = carray(_floats(x_at + at), count), carray(_floats(grad_at + at), count)
        if in_place:
            total += _in_place(x, grad, count, s, low, high, rule)
        else:
            into = own.ctypes.data if streams else grad_x_at + at
            total += _apart(x, grad, carray(_floats(into), count), count, s, low, high, rule)
        if streams:
            _hand_over(grad_x_at + at, into, count)
    carray(_floats(total_at), 1)[0] = float32(total * scale)
