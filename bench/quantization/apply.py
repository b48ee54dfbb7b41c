"""Put quantizers into a model by replacing its layers, and initialise them."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.quantization.placement import Placement
from bench.quantization.quantizer import Quantizer

Quantizers = dict[str, Quantizer]
"""By the site's name."""


class _Held(NamedTuple):
    """A layer's quantizers, outside its children: one that many layers share is the child of none of them."""

    weight: Quantizer
    inputs: tuple[Quantizer, ...]
    """By the number of the layer's call in one pass: one per pyramid level in a shared head."""


class QuantConv2d(nn.Conv2d):
    """A convolution that quantizes its input and its weight; it takes over the parameters of the one it replaces."""

    def __init__(self, conv: nn.Conv2d, held: _Held) -> None:
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


def apply(model: nn.Module, placement: Placement, quantizers: Quantizers) -> None:
    """Replace every quantized layer of `model` in place; the quantizers become its child `quantizers`."""
    inputs: dict[str, dict[int, Quantizer]] = {}
    for activation in placement.activations:
        for module, call in activation.readers:
            inputs.setdefault(module, {})[call] = quantizers[activation.name]
    for site in placement.weights:
        conv = model.get_submodule(site.module)
        if type(conv) is not nn.Conv2d:
            raise TypeError(f"{site.module} is a {type(conv).__name__}, not a plain convolution")
        by_call = inputs[site.module]
        layer = QuantConv2d(conv, _Held(quantizers[site.name], tuple(by_call[k] for k in range(len(by_call)))))
        parent, _, child = site.module.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
    model.quantizers = nn.ModuleDict({name.replace(".", "/"): q for name, q in quantizers.items()})
    model.register_forward_pre_hook(_start_pass)


def _start_pass(model: nn.Module, _: Any) -> None:
    for module in model.modules():
        if isinstance(module, QuantConv2d):
            module.call, module.pass_weight = 0, ()


@torch.no_grad()
def calibrate(model: nn.Module, forwards: Iterable[Callable[[], Any]]) -> None:
    """Initialise every step size: weights from themselves, activations from FP passes in eval mode."""
    training = model.training
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, QuantConv2d)]
    for layer in layers:
        layer.held.weight.observer.observe(layer.weight)
        layer.held.weight.mode = "off"
        for quantizer in layer.held.inputs:
            quantizer.mode = "observe"
    for forward in forwards:
        forward()
    for module in model.modules():
        if isinstance(module, Quantizer):
            module.initialise()
            module.mode = "quantize"
    model.train(training)
