"""Put quantizers into a model by replacing its layers, which stand in its child STATE."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from bench.quantization.conv import QuantConv2d
from bench.quantization.layer import Held, QuantLayer
from bench.quantization.linear import QuantLinear
from bench.quantization.placement import Placement
from bench.quantization.quantizer import Quantizer
from bench.quantization.tree import replace

Quantizers = dict[str, Quantizer]
"""By the site's name."""

STATE = "quantizers"
"""The child of a quantized model that holds its quantizers: their state's keys begin so."""


def apply(model: nn.Module, placement: Placement, quantizers: Quantizers) -> None:
    """Replace every quantized layer of `model` in place; the quantizers become its child STATE."""
    inputs: dict[str, dict[int, Quantizer]] = {}
    for activation in placement.activations:
        for module, call in activation.readers:
            inputs.setdefault(module, {})[call] = quantizers[activation.name]
    layers: dict[nn.Module, nn.Module] = {}
    for site in placement.weights:
        by_call = inputs[site.module]
        held = Held(quantizers[site.name], tuple(by_call[k] for k in range(len(by_call))))
        layer = model.get_submodule(site.module)
        layers[layer] = _quantized(layer, held)
    replace(model, layers)
    state = nn.ModuleDict({name.replace(".", "/"): q for name, q in quantizers.items()})
    model.add_module(STATE, state.to(next(model.parameters()).device))
    model.register_forward_pre_hook(_PassStart(quantized_layers(model).values()))


def quantized_layers(model: nn.Module) -> dict[str, QuantLayer]:
    """The quantized layers by name; one that stands at several places has the name of the first."""
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}


def _quantized(layer: nn.Module, held: Held) -> nn.Module:
    kind = type(layer).__name__
    # By name: mmcv has wrappers of the same names, which differ from torch's on old versions alone.
    if isinstance(layer, nn.Conv2d) and kind == "Conv2d":
        return QuantConv2d(layer, held)
    if isinstance(layer, nn.Linear) and kind in ("Linear", "Projection"):
        return QuantLinear(layer, held)
    raise TypeError(f"a {kind} is neither a plain convolution nor a plain linear layer")


class _PassStart:
    """A hook that knows the layers, since finding them takes a hundredth of a step; a copy knows those of its model."""

    def __init__(self, layers: Iterable[QuantLayer]) -> None:
        self.layers = list(layers)

    def __call__(self, model: nn.Module, _: Any) -> None:
        for layer in self.layers:
            layer.start_pass()
