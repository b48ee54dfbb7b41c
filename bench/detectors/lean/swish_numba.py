"""The gradient of the swish on a CPU, one thread, compiled by numba once and kept on disk."""

from typing import Any

import torch
from numba import carray, float32
from torch import Tensor

from bench.quantization.kernels.numba_path import _address, _compiled, _count, _floats


def gradient(x: Tensor, sigmoid: Tensor, grad: Tensor) -> Tensor:
    """That of x, float32 tensors of one layout without gaps; operation by operation as PyTorch's autograd has it."""
    found = torch.empty_like(x)
    _gradient(x.data_ptr(), sigmoid.data_ptr(), grad.data_ptr(), found.data_ptr(), x.numel())
    return found


@_compiled(_address, _address, _address, _address, _count)
def _gradient(x_at: Any, sigmoid_at: Any, grad_at: Any, found_at: Any, n: int) -> None:
    x, s = carray(_floats(x_at), n), carray(_floats(sigmoid_at), n)
    grad, found = carray(_floats(grad_at), n), carray(_floats(found_at), n)
    for i in range(n):
        found[i] = grad[i] * s[i] + grad[i] * x[i] * (float32(1) - s[i]) * s[i]
