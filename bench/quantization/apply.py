"""Put quantizers into a model by replacing its layers, and initialise them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from bench.quantization.conv import Held, QuantConv2d
from bench.quantization.placement import Placement
from bench.quantization.quantizer import Quantizer

Quantizers = dict[str, Quantizer]
"""By the site's name."""


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
        layer = QuantConv2d(conv, Held(quantizers[site.name], tuple(by_call[k] for k in range(len(by_call)))))
        parent, _, child = site.module.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
    model.quantizers = nn.ModuleDict({name.replace(".", "/"): q for name, q in quantizers.items()})
    model.register_forward_pre_hook(_PassStart([m for m in model.modules() if isinstance(m, QuantConv2d)]))


class _PassStart:
    """A hook that knows the layers, since finding them takes a hundredth of a step; a copy knows those of its model."""

    def __init__(self, layers: list[QuantConv2d]) -> None:
        self.layers = layers

    def __call__(self, model: nn.Module, _: Any) -> None:
        for layer in self.layers:
            layer.start_pass()


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
