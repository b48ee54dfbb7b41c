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
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from bench.quantization.kernels import Rule, alike

_RULES: dict[Rule, int] = {"paper": 0, "mqbench": 1, "rounded": 2}
_MQBENCH, _PAPER = _RULES["mqbench"], _RULES["paper"]
_CHUNK = 512
"""Entries, 2 KiB of each tensor: small enough for the accuracy of a float32 sum and for the first cache."""
_LARGE = 4 * 2**20
"""Entries, 16 MiB: what is written of a tensor this large has left every cache before anybody reads it."""


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


def _codegen_prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    to_read, into_all_caches, data = (ir.Constant(number, value) for value in (0, 3, 1))
    builder.call(function, [builder.inttoptr(arguments[0], byte), to_read, into_all_caches, data])
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address; one beyond the tensor does no harm."""
    return types.void(types.intp), _codegen_prefetch


@njit  # type: ignore[untyped-decorator]
def _prefetch_chunk(address: Any) -> None:
    # The arithmetic is too long for the processor to look far enough ahead by itself.
    for offset in range(0, 4 * _CHUNK, 64):
        _prefetch(address + offset)


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
    s = carray(_floats(step_at), 1)[0]
    reciprocal = float32(1) / s
    streams = n >= _LARGE and y_at % 32 == 0
    own = np.empty(_CHUNK if streams else 0, np.float32)
    for start in range(0, n, _CHUNK):
        count, at = min(_CHUNK, n - start), 4 * start
        _prefetch_chunk(x_at + at + 4 * _CHUNK)
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
    s = carray(_floats(step_at), 1)[0]
    total, reciprocal = 0.0, float32(1) / s
    streams = n >= _LARGE and grad_x_at % 32 == 0 and grad_x_at != grad_at
    own = np.empty(_CHUNK if streams else 0, np.float32)
    for start in range(0, n, _CHUNK):
        count, at = min(_CHUNK, n - start), 4 * start
        _prefetch_chunk(x_at + at + 4 * _CHUNK)
        _prefetch_chunk(grad_at + at + 4 * _CHUNK)
        into = own.ctypes.data if streams else grad_x_at + at
        x, grad = carray(_floats(x_at + at), count), carray(_floats(into), count)
        if grad_x_at != grad_at:
            # Into the cache that the loop reads: three streams of memory cost less than four.
            theirs = carray(_floats(grad_at + at), count)
            for i in range(count):
                grad[i] = theirs[i]
        if rule == _PAPER:
            total += _paper(x, grad, count, s, low, high)
        elif rule == _MQBENCH:
            total += _mqbench(x, grad, count, s, reciprocal, low, high)
        else:
            total += _rounded(x, grad, count, s, low, high)
        if streams:
            _hand_over(grad_x_at + at, into, count)
    carray(_floats(total_at), 1)[0] = float32(total * scale)
