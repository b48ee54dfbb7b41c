"""The quantized convolution, which holds its input and weight as they came and quantizes them again in its backward."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.quantization.functional import fake_quantize
from bench.quantization.grid import Grid
from bench.quantization.kernels import choose
from bench.quantization.layer import Held, QuantLayer
from bench.quantization.quantizer import Quantizer

_backward_of_conv = torch.ops.aten.convolution_backward.default


class QuantConv2d(QuantLayer, nn.Conv2d):
    """A convolution that quantizes its input and its weight; it takes over the parameters of the one it replaces."""

    def __init__(self, conv: nn.Conv2d, held: Held) -> None:
        if conv.padding_mode != "zeros":
            raise ValueError(f"padding mode {conv.padding_mode!r} is not offered")
        shape = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
        super().__init__(*shape, conv.dilation, conv.groups, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = conv.weight, conv.bias
        self.train(conv.training)
        self.hold(held)

    def forward(self, x: Tensor) -> Tensor:
        """[n, in, h, w] -> [n, out, h', w']."""
        quantizer = self.next_input()
        how = (self.stride, self.padding, self.dilation, self.groups)
        weight, bias = self.weight, self.bias
        if self._recomputes(x, quantizer):
            of_weight = self.held.weight.grid(weight)
            y: Tensor = _Conv.apply(x, *quantizer.grid(x), weight, *of_weight, bias, how)  # type: ignore[no-untyped-call]
            return y
        weight = self.quantized_weight()
        return conv2d(quantizer(x), weight, bias, *how)  # type: ignore[arg-type]

    def _recomputes(self, x: Tensor, quantizer: Quantizer) -> bool:
        plain = x.dim() == 4 and not isinstance(self.padding, str) and not torch.is_autocast_enabled(x.device.type)
        return plain and quantizer.on_grid and self.held.weight.on_grid


class _Conv(torch.autograd.Function):
    """conv2d of a fake-quantized input and weight. Between the passes it holds what others hold anyway: the input as
    its producer made it, and the parameters."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, grid: Grid, weight: Tensor, weight_step: Tensor, weight_grid: Grid,
        bias: Tensor | None, how: tuple[Any, ...],
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, step, weight, weight_step)
        ctx.grids, ctx.kernels = (grid, weight_grid), (choose(x, step), choose(weight, weight_step))
        ctx.bias_sizes, ctx.how = None if bias is None else [bias.numel()], how
        quantized = weight_grid.forward(weight, weight_step, ctx.kernels[1])
        return conv2d(grid.forward(x, step, ctx.kernels[0]), quantized, bias, *how)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, step, weight, weight_step = ctx.saved_tensors
        grid, weight_grid = ctx.grids
        need_x, need_step, _, need_weight, need_weight_step, _, need_bias, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():
            # A derivative that is to be derived once more: every operation differentiable, and none on kernels.
            kernels = weight_kernels = None
            q, quantized = fake_quantize(x, step, grid), fake_quantize(weight, weight_step, weight_grid)
        else:
            kernels, weight_kernels = ctx.kernels
            q = grid.forward(x, step, kernels)
            quantized = weight_grid.forward(weight, weight_step, weight_kernels)
        stride, padding, dilation, groups = ctx.how
        # Where only the step of an input is trained, an image's, the product of its slopes with the input's gradient is
        # that of the convolved slopes with the output's: a forward convolution is several times cheaper there.
        adjoint = need_step and not need_x and kernels is not None
        needed = (not adjoint and (need_x or need_step), need_weight or need_weight_step, need_bias)
        grad, grad_weight, grad_bias = _backward_of_conv(
            grads[0], q, quantized, ctx.bias_sizes, stride, padding, dilation, False, (0, 0), groups, needed
        )
        grad_x = grad_step = grad_weight_step = None
        if adjoint:
            slopes, factor = grid.slopes(x, step, q, kernels)
            grad_step = conv2d(slopes, quantized, None, *ctx.how).mul_(grads[0]).sum() * factor
        elif needed[0]:
            grad_x, grad_step = grid.backward(x, step, grad, kernels, owned=True)
        if needed[1]:
            grad_weight, grad_weight_step = weight_grid.backward(
                weight, weight_step, grad_weight, weight_kernels, owned=True
            )
        return grad_x, grad_step, None, grad_weight, grad_weight_step, None, grad_bias, None
