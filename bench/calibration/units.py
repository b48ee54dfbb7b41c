"""The units of a reconstruction: a layer, or a block of layers, with all its calls in one pass."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.quantization.apply import quantized_layers, site_names
from bench.quantization.layer import QuantLayer
from bench.quantization.quantizer import Quantizer


class Unit(NamedTuple):
    """What is reconstructed together: a module with one input and one output tensor."""

    name: str
    module: nn.Module
    layers: dict[str, QuantLayer]
    """By name: its layers whose weights are quantized."""
    calls: int
    """In one pass: a layer of a head that five levels share has five."""
    activations: tuple[Quantizer, ...]
    """Quantizers of activations that run within it."""

    @property
    def is_block(self) -> bool:
        """Whether it is more than one quantized layer alone."""
        return not isinstance(self.module, QuantLayer)


def find_units(model: nn.Module, patterns: Sequence[str], forward: Callable[[], Any]) -> list[Unit]:
    """The units in the order in which one pass, `forward`, first calls them.

    A module whose name fits one of the shell `patterns` is a block, the outermost of several; each layer outside of
    blocks is a unit of its own.
    Raises BenchError for a pattern that fits nothing or no quantized layer, a layer that two blocks share or that is
    called outside of its block too, and a block that the pass does not call as a module.
    """
    layers = {name: layer for name, layer in quantized_layers(model).items() if layer.held.weight is not None}
    candidates = {**_blocks(model, patterns, layers), **{n: {n: layer} for n, layer in layers.items()}}
    inside = {layer for name, own in candidates.items() if name not in layers for layer in own.values()}
    names = {model.get_submodule(n): n for n, own in candidates.items() if n not in layers or layers[n] not in inside}
    watch = _Watch(names)
    of_weights = {layer.held.weight for layer in layers.values()}
    of_activations = [q for q in site_names(model) if q not in of_weights]
    with watch.on(layers.values(), of_activations), torch.no_grad():
        forward()
    units = []
    for module, name in names.items():
        if watch.calls[module] == 0:
            raise BenchError(f"reconstruction: block {name!r} is not called as a module, so it cannot be run alone")
        if any(watch.within[module, layer] != watch.calls[layer] for layer in candidates[name].values()):
            raise BenchError(f"reconstruction: block {name!r} has a layer that is also called outside of it")
        activations = tuple(q for q in of_activations if watch.within[module, q])
        units.append(Unit(name, module, candidates[name], watch.calls[module], activations))
    return sorted(units, key=lambda unit: watch.first[unit.module])


def _blocks(
    model: nn.Module, patterns: Sequence[str], layers: dict[str, QuantLayer]
) -> dict[str, dict[str, QuantLayer]]:
    """By the block's name its layers, by name."""
    found: dict[str, dict[str, QuantLayer]] = {}
    for name, module in model.named_modules():
        nested = any(name.startswith(f"{outer}.") for outer in found)
        if not nested and any(fnmatchcase(name, pattern) for pattern in patterns) and name not in layers:
            within = set(module.modules())
            own = {n: layer for n, layer in layers.items() if layer in within}
            if own:
                found[name] = own
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise BenchError(
                f"reconstruction: the pattern {pattern!r} of `blocks` fits no module with quantized layers"
            )
    return found


class _Watch:
    """Counts the calls of modules, and within them those of layers and quantizers."""

    def __init__(self, names: dict[nn.Module, str]) -> None:
        self.names = names
        self.running: list[nn.Module] = []
        self.calls: Counter[nn.Module] = Counter()
        self.within: Counter[tuple[nn.Module, nn.Module]] = Counter()
        self.first: dict[nn.Module, int] = {}

    @contextmanager
    def on(self, layers: Any, quantizers: Any) -> Iterator[None]:
        """While the pass runs."""
        counted = dict.fromkeys((*self.names, *layers, *quantizers))
        hooks = [module.register_forward_pre_hook(self.enter, with_kwargs=True) for module in counted]
        hooks += [module.register_forward_hook(self.leave) for module in self.names]
        try:
            yield
        finally:
            for handle in hooks:
                handle.remove()

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls[module] += 1
        if module in self.names:
            self.first.setdefault(module, len(self.first))
            self.running.append(module)
            if kwargs or len(args) != 1 or not isinstance(args[0], Tensor):
                name = self.names[module]
                raise BenchError(f"reconstruction: {name!r} is called with more than one tensor; name other blocks")
        self.within.update((unit, module) for unit in self.running)

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.running.remove(module)
        if not isinstance(output, Tensor):
            name = self.names[module]
            raise BenchError(f"reconstruction: {name!r} returns more than one tensor; name other blocks")
