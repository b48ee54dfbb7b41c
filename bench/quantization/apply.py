"""Put quantizers into a model by replacing its layers, which stand in its child STATE."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from bench.errors import BenchError
from bench.quantization.calls import begin_passes
from bench.quantization.conv import QuantConv2d
from bench.quantization.layer import Held, QuantLayer
from bench.quantization.linear import QuantLinear
from bench.quantization.placement import ActivationSite, Placement, WeightSite
from bench.quantization.quantizer import Quantizer
from bench.quantization.taps import Tapped, tap_operands, tap_output
from bench.quantization.tree import replace

Quantizers = dict[str, Quantizer]
"""By the site's name."""

STATE = "quantizers"
"""The child of a quantized model that holds its quantizers: their state's keys begin so."""


def apply(model: nn.Module, placement: Placement, quantizers: Quantizers) -> None:
    """Replace every quantized layer of `model` in place; the quantizers become its child STATE.

    A parametrized weight (`torch.nn.utils.parametrize`) stays so: what is quantized is what the parametrization makes.
    Raises BenchError where a quantizer has other bits or another sign than its site, and for a layer of a form that is
    not offered.
    """
    for site in placement.sites:
        _check(site, quantizers[site.name])
    held = _held(placement, quantizers)
    layers = {model.get_submodule(name): _quantized(name, model.get_submodule(name), held[name]) for name in held}
    _count_readers(layers.values())
    replace(model, layers)
    state = nn.ModuleDict({name.replace(".", "/"): q for name, q in quantizers.items()})
    model.add_module(STATE, state.to(next(model.parameters()).device))
    _begin_passes(model, placement)
    _tap(model, placement, quantizers)


def site_names(model: nn.Module) -> dict[Quantizer, str]:
    """The quantizers of a model with the names of their sites, weights first."""
    state = model._modules.get(STATE) or nn.ModuleDict()
    return {q: name.replace("/", ".") for name, q in state.named_children() if isinstance(q, Quantizer)}


def quantized_layers(model: nn.Module) -> dict[str, QuantLayer]:
    """The quantized layers by name; one that stands at several places has the name of the first."""
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantLayer)}


def freeze_quantizers(model: nn.Module) -> None:
    """Stop training the step sizes of layers whose weights are frozen: of these weights, and of inputs that frozen
    layers alone read."""
    readers: dict[Quantizer, list[QuantLayer]] = defaultdict(list)
    for layer in quantized_layers(model).values():
        for quantizer in (layer.held.weight, *layer.held.inputs, *layer.held.upstream):
            if quantizer is not None:
                readers[quantizer].append(layer)
    for quantizer, layers in readers.items():
        if not any(_trains(layer) for layer in layers):
            quantizer.requires_grad_(False)


def _trains(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _check(site: WeightSite | ActivationSite, quantizer: Quantizer) -> None:
    # With an offset a range of codes without sign covers values of both.
    signed = quantizer.signed if quantizer.symmetric else site.signed
    if (quantizer.bits, signed) != (site.bits, site.signed):
        found, expected = _form(quantizer.bits, signed), _form(site.bits, site.signed)
        raise BenchError(f"{site.name}: the method's {type(quantizer).__name__} is {found}, the site is {expected}")


def _form(bits: int, signed: bool) -> str:
    return f"{'' if signed else 'u'}int{bits}"


def _held(placement: Placement, quantizers: Quantizers) -> dict[str, Held]:
    """By the layer's name, those of weights first."""
    weights: dict[str, Quantizer | None] = {site.module: quantizers[site.name] for site in placement.weights}
    inputs: dict[str, dict[int, Quantizer]] = defaultdict(dict)
    upstream: dict[str, dict[Quantizer, None]] = defaultdict(dict)
    for activation in placement.activations:
        for module, call in activation.readers:
            if activation.tap is None:
                inputs[module][call] = quantizers[activation.name]
            else:
                upstream[module][quantizers[activation.name]] = None
    counts = {layer.module: layer.times for layer in placement.calls}
    held = {}
    for module in dict.fromkeys((*weights, *inputs)):
        count = counts.get(module, max(inputs[module], default=0) + 1)
        ordered = tuple(inputs[module].get(k) for k in range(count))
        held[module] = Held(weights.get(module), ordered, tuple(upstream[module]))
    return held


def _count_readers(layers: Iterable[nn.Module]) -> None:
    """Tell quantizers how many convolutions read one tensor through them."""
    for quantizer, readers in Counter(
        q for layer in layers if isinstance(layer, QuantConv2d) for q in layer.held.inputs if q is not None
    ).items():
        quantizer.readers = readers


def _tap(model: nn.Module, placement: Placement, quantizers: Quantizers) -> None:
    within: dict[str, list[Tapped]] = defaultdict(list)
    for site in placement.activations:
        if site.tap is not None:
            tap_output(model.get_submodule(site.tap), quantizers[site.name])
        else:
            for operand in site.operands:
                within[operand.module].append(Tapped(operand, quantizers[site.name]))
    counted = [tap_operands(model.get_submodule(name), taps, placement.runs[name]) for name, taps in within.items()]
    begin_passes(model, {model: [(forward, 0) for forward in counted if forward.calls > 1]})


def _begin_passes(model: nn.Module, placement: Placement) -> None:
    layers = quantized_layers(model)
    firsts: dict[nn.Module, list[tuple[QuantLayer, int]]] = defaultdict(list)
    firsts[model] = [(layer, 0) for layer in layers.values() if layer.calls > 1]
    for counted in placement.calls:
        for scope, call in counted.firsts:
            if scope and counted.module in layers:
                firsts[model.get_submodule(scope)].append((layers[counted.module], call))
    begin_passes(model, firsts)


def _quantized(name: str, layer: nn.Module, held: Held) -> nn.Module:
    kind: Any = parametrize.type_before_parametrizations(layer).__name__
    # By name: mmcv has wrappers of the same names, which differ from torch's on old versions alone.
    if isinstance(layer, nn.Conv2d) and kind == "Conv2d":
        if layer.padding_mode != "zeros":
            raise BenchError(f"{name}: padding mode {layer.padding_mode!r} is not offered")
        made: type[QuantLayer] = QuantConv2d
    elif isinstance(layer, nn.Linear) and kind in ("Linear", "Projection"):
        made = QuantLinear
    else:
        raise BenchError(f"{name}: a {kind} is neither a plain convolution nor a plain linear layer")
    if parametrize.is_parametrized(layer):
        return _parametrized(layer, made, held)
    if not isinstance(layer.weight, nn.Parameter):
        raise BenchError(
            f"{name}: its weight is no parameter, and what makes it would be lost; of such forms only those of "
            "torch.nn.utils.parametrize are offered"
        )
    return made(layer, held)


def _parametrized(layer: nn.Module, kind: type[QuantLayer], held: Held) -> nn.Module:
    """The layer under a class that has both `kind`'s pass and the properties that parametrize the layer's tensors."""
    both: type[QuantLayer] = type(f"Parametrized{kind.__name__}", (kind, type(layer)), {})
    made = both.__new__(both)
    made.__dict__.update(layer.__dict__)
    made.hold(held)
    return made
