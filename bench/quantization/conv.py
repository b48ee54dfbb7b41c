"""The quantized convolution, which keeps its input as it came and quantizes it once more in the backward pass."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.quantization.functional import fake_quantize
from bench.quantization.grid import Grid
from bench.quantization.quantizer import Quantizer


class Held(NamedTuple):
    """A layer's quantizers, outside its children: one that many layers share is the child of none of them."""

    weight: Quantizer
    inputs: tuple[Quantizer, ...]
    """By the number of the layer's call in one pass: one per pyramid level in a shared head."""


class QuantConv2d(nn.Conv2d):
    """A convolution that quantizes its input and its weight; it takes over the parameters of the one it replaces."""

    def __init__(self, conv: nn.Conv2d, held: Held) -> None:
        if conv.padding_mode != "zeros":
            raise ValueError(f"padding mode {conv.padding_mode!r} is not offered")
        shape = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
        super().__init__(*shape, conv.dilation, conv.groups, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = conv.weight, conv.bias
        self.train(conv.training)
        self.held = held
        self.call = 0
        self.pass_weight: tuple[Tensor, ...] = ()
        """The quantized weight of the pass under way; in a tuple, since a module takes a bare one for a parameter."""

    def forward(self, x: Tensor) -> Tensor:
        """[n, in, h, w] -> [n, out, h', w']."""
        if not self.pass_weight:
            # Once for all pyramid levels.
            self.pass_weight = (self.held.weight(self.weight),)
        weight, quantizer = self.pass_weight[0], self.held.inputs[self.call]
        self.call += 1
        if self.call == len(self.held.inputs):
            self.pass_weight = ()
        how = (self.stride, self.padding, self.dilation, self.groups)
        if self._recomputes(x, quantizer):
            y: Tensor = _Conv.apply(x, *quantizer.grid(x), weight, self.bias, how)  # type: ignore[no-untyped-call]
            return y
        return conv2d(quantizer(x), weight, self.bias, *how)

    def _recomputes(self, x: Tensor, quantizer: Quantizer) -> bool:
        plain = x.dim() == 4 and not isinstance(self.padding, str) and not torch.is_autocast_enabled(x.device.type)
        return plain and quantizer.on_grid


class _Conv(torch.autograd.Function):
    """conv2d of a fake-quantized input. Between the passes only x is held, which its producer holds anyway; the
    weight comes quantized, since all pyramid levels share it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, parameter: Tensor, grid: Grid, weight: Tensor, bias: Tensor | None, how: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, parameter, weight)
        ctx.grid, ctx.bias_sizes, ctx.how = grid, None if bias is None else [bias.numel()], how
        return conv2d(grid.forward(x, parameter), weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # All of it differentiable, for a second derivative.
        x, parameter, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.how
        need_x, need_parameter, _, need_weight, need_bias, _ = ctx.needs_input_grad
        needed = (need_x or need_parameter, need_weight, need_bias)
        grad, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            grads[0], fake_quantize(x, parameter, ctx.grid), weight, ctx.bias_sizes,
            stride, padding, dilation, False, (0, 0), groups, needed,
        )  # fmt: skip
        grad_x, grad_parameter = ctx.grid.backward(x, parameter, grad) if needed[0] else (None, None)
        return grad_x, grad_parameter, None, grad_weight, grad_bias, None
