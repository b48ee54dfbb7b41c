"""The quantized convolution, which holds its input and weight as they came and quantizes them again in its backward."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch.nn.functional import conv2d

from bench.quantization.functional import fake_quantize
from bench.quantization.grid import Grid
from bench.quantization.kernels import Kernels, choose
from bench.quantization.layer import Held, QuantLayer
from bench.quantization.quantizer import Quantizer
from bench.quantization.shared import Shared

_OnGrid = tuple[Tensor, Tensor | None, Grid | None]
"""A tensor, and the parameter and the grid by which it is quantized; without them it is used as it is."""
_backward_of_conv = torch.ops.aten.convolution_backward.default


class QuantConv2d(QuantLayer, nn.Conv2d):
    """A convolution that quantizes its input and its weight; it takes over the parameters of the one it replaces."""

    def __init__(self, conv: nn.Conv2d, held: Held) -> None:
        shape = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
        super().__init__(*shape, conv.dilation, conv.groups, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = conv.weight, conv.bias
        self.train(conv.training)
        self.hold(held)

    def forward(self, x: Tensor) -> Tensor:
        """[n, in, h, w] -> [n, out, h', w']."""
        # Its own operations are no readers, as in a quantizer's forward.
        with DisableTorchFunction():
            return self._convolved(x, self.next_input())

    def _convolved(self, x: Tensor, quantizer: Quantizer | None) -> Tensor:
        how = (self.stride, self.padding, self.dilation, self.groups)
        if self._recomputes(x, quantizer):
            made, again = self.shared_weight() if self.shares_weight else (None, None)
            of_input = _on_grid(quantizer, x)
            of_weight = _on_grid(self.held.weight, self.weight)
            y: Tensor = _Conv.apply(  # type: ignore[no-untyped-call]
                *of_input, _shared(quantizer, of_input), *of_weight, self.bias, how, made, again
            )
            return y
        weight = self.quantized_weight()
        return conv2d(x if quantizer is None else quantizer(x), weight, self.bias, *how)  # type: ignore[arg-type]

    def _recomputes(self, x: Tensor, quantizer: Quantizer | None) -> bool:
        plain = x.dim() == 4 and not isinstance(self.padding, str) and not torch.is_autocast_enabled(x.device.type)
        return plain and all(q is None or q.on_grid for q in (quantizer, self.held.weight))


def _shared(quantizer: Quantizer | None, of_input: _OnGrid) -> Shared | None:
    x, parameter, _ = of_input
    return None if quantizer is None or parameter is None else quantizer.shared(x, parameter)


def _on_grid(quantizer: Quantizer | None, x: Tensor) -> _OnGrid:
    return (x, None, None) if quantizer is None else (x, *quantizer.grid(x))


class _Side(NamedTuple):
    """The input or the weight of a convolution, with how it is quantized; without a grid it is used as it is."""

    x: Tensor
    parameter: Tensor | None
    grid: Grid | None
    kernels: Kernels | None

    def value(self) -> Tensor:
        if self.grid is None or self.parameter is None:
            return self.x
        return self.grid.forward(self.x, self.parameter, self.kernels)

    def differentiable(self) -> Tensor:
        """The same value, made of operations that can be derived."""
        if self.grid is None or self.parameter is None:
            return self.x
        return fake_quantize(self.x, self.parameter, self.grid)

    def gradients(self, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of the tensor and of the parameter; `grad`, of the value, may be overwritten."""
        if self.grid is None or self.parameter is None:
            return grad, None
        return self.grid.backward(self.x, self.parameter, grad, self.kernels, owned=True)


class _Conv(torch.autograd.Function):
    """conv2d of a fake-quantized input and weight. Between the passes it holds what others hold anyway: the input as
    its producer made it, and the parameters."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor | None, grid: Grid | None, shared: Shared | None, weight: Tensor,
        weight_step: Tensor | None, weight_grid: Grid | None, bias: Tensor | None, how: tuple[Any, ...],
        made: Tensor | None, again: list[Tensor] | None,
    ) -> Tensor:  # fmt: skip
        # `made`: the weight as other calls of the pass have it too, which takes the gradient; the backward makes it
        # once more for all of them, into `again`.
        ctx.save_for_backward(x, step, weight, weight_step)
        ctx.grids, ctx.kernels = (grid, weight_grid), (_kernels(x, step), _kernels(weight, weight_step))
        ctx.bias_sizes, ctx.how, ctx.again = None if bias is None else [bias.numel()], how, again
        ctx.shared = shared
        sides = _Side(x, step, grid, ctx.kernels[0]), _Side(weight, weight_step, weight_grid, ctx.kernels[1])
        quantized = sides[1].value() if made is None else made
        q = sides[0].value() if shared is None else shared.forward(sides[0].value)
        return conv2d(q, quantized, bias, *how)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, step, weight, weight_step = ctx.saved_tensors
        need_x, need_step, _, _, need_weight, need_weight_step, _, need_bias, _, need_made, _ = ctx.needs_input_grad
        # A derivative that is to be derived once more: every operation differentiable, and none on kernels.
        twice = torch.is_grad_enabled()
        kernels = (None, None) if twice else ctx.kernels
        image, of_weight = (
            _Side(x, step, ctx.grids[0], kernels[0]),
            _Side(weight, weight_step, ctx.grids[1], kernels[1]),
        )
        if twice:
            q = image.differentiable()
        else:
            q = image.value() if ctx.shared is None else ctx.shared.backward(image.value)
        quantized = of_weight.differentiable() if twice else _once(of_weight, ctx.again)
        stride, padding, dilation, groups = ctx.how
        # If only the image's step needs a gradient, use <conv(slopes), grad> = <slopes, transposed conv(grad)>: one
        # forward convolution is cheaper.
        adjoint = need_step and not need_x and image.kernels is not None
        needed = (not adjoint and (need_x or need_step), need_made or need_weight or need_weight_step, need_bias)
        grad, grad_weight, grad_bias = _backward_of_conv(
            grads[0], q, quantized, ctx.bias_sizes, stride, padding, dilation, False, (0, 0), groups, needed
        )
        grad_x = grad_step = grad_weight_step = None
        if adjoint:
            slopes, factor = ctx.grids[0].slopes(x, step, q, image.kernels)
            grad_step = conv2d(slopes, quantized, None, *ctx.how).mul_(grads[0]).sum() * factor
        elif needed[0]:
            grad_x, grad_step = image.gradients(grad)
        if need_made:
            return grad_x, grad_step, None, None, None, None, None, grad_bias, None, grad_weight, None
        if needed[1]:
            grad_weight, grad_weight_step = of_weight.gradients(grad_weight)
        return grad_x, grad_step, None, None, grad_weight, grad_weight_step, None, grad_bias, None, None, None


def _once(side: _Side, again: list[Tensor] | None) -> Tensor:
    if again is None:
        return side.value()
    if not again:
        again.append(side.value())
    return again[0]


def _kernels(x: Tensor, parameter: Tensor | None) -> Kernels | None:
    return None if parameter is None else choose(x, parameter)
