"""mmcv's swish, x * sigmoid(x), as YOLOX has it: the gradient in one pass in place of five, equal to the bit."""

from importlib import import_module
from typing import Any

import torch
from mmcv.cnn.bricks import swish as mmcv
from torch import Tensor

from bench.quantization import kernels


class Swish(mmcv.Swish):  # type: ignore[misc]
    """mmcv's; a path of its own on a CPU, for float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of x's shape."""
        ours = x.is_cpu and x.dtype == torch.float32 and x.numel() > 0 and kernels.dense(x)
        if not (ours and x.requires_grad and torch.is_grad_enabled()) or kernels.backend("cpu") == "eager":
            same: Tensor = super().forward(x)
            return same
        y: Tensor = _Swish.apply(x)  # type: ignore[no-untyped-call]
        return y


class _Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # PyTorch's sigmoid is vectorized, numba's exponential is not.
        sigmoid = torch.sigmoid(x)
        ctx.save_for_backward(x, sigmoid)
        return x * sigmoid

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        x, sigmoid = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants a second derivative
            (again,) = torch.autograd.grad(x * torch.sigmoid(x), x, grads[0], create_graph=True)
            return again
        passes = import_module("bench.detectors.lean.swish_numba")
        found: Tensor = passes.gradient(x, sigmoid, kernels.alike(grads[0], x))
        return found
