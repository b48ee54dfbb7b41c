"""The quantized convolution."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import conv2d

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
        weight, x = self.pass_weight[0], self.held.inputs[self.call](x)
        self.call += 1
        if self.call == len(self.held.inputs):
            self.pass_weight = ()
        return conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
