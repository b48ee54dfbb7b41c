"""Initialise the quantizers of a model from calibration passes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.quantization.apply import quantized_layers, site_names
from bench.quantization.quantizer import Quantizer
from bench.quantization.ranges import EPS


@torch.no_grad()
def calibrate(model: nn.Module, forwards: Iterable[Callable[[], Any]]) -> None:
    """Initialise every step size: weights from themselves, activations from FP passes in eval mode.

    Raises BenchError, naming the site, where a value is not finite or an observer has nothing to go by.
    """
    training = model.training
    model.eval()
    names = site_names(model)
    inputs = dict.fromkeys(names)
    for name, layer in quantized_layers(model).items():
        end = _end(f"{name}.weight", layer.weight)
        if layer.held.weight is not None:
            _observe_weight(layer.held.weight, layer.weight)
            layer.held.weight.dead = end == 0
            inputs.pop(layer.held.weight, None)
    for quantizer in inputs:
        quantizer.mode, quantizer.dead = "observe", True
    with _watched({quantizer: names.get(quantizer, "") for quantizer in inputs}):
        for forward in forwards:
            forward()
    for module in model.modules():
        if isinstance(module, Quantizer):
            _initialise(module, names.get(module, ""))
    model.train(training)


def dead_sites(model: nn.Module) -> tuple[str, ...]:
    """The sites that were zero, next to nothing, or empty throughout calibration: a step found there says nothing."""
    return tuple(name for quantizer, name in site_names(model).items() if quantizer.dead)


def _observe_weight(quantizer: Quantizer, weight: Tensor) -> None:
    if quantizer.observer is not None:
        quantizer.observer.observe(weight)
    quantizer.mode = "off"


def _initialise(quantizer: Quantizer, name: str) -> None:
    try:
        quantizer.initialise()
    except RuntimeError as error:
        raise BenchError(f"calibration: {name}: {error}") from error
    quantizer.mode = "quantize"


@contextmanager
def _watched(quantizers: dict[Quantizer, str]) -> Iterator[None]:
    """Look at all that is fed to quantizers, whatever they do with it."""

    def watch(name: str) -> Callable[[Quantizer, tuple[Tensor, ...]], None]:
        def hook(quantizer: Quantizer, args: tuple[Tensor, ...]) -> None:
            # Codes without sign may have an offset, and then serve values of both signs.
            signed = quantizer.signed or not quantizer.symmetric
            # An unsigned range this narrow gets no step of its own, as in `step_of_range`.
            least = 0.0 if signed else EPS * (quantizer.qmax - quantizer.qmin)
            if _end(name, args[0], signed) > least:
                quantizer.dead = False

        return hook

    hooks = [quantizer.register_forward_pre_hook(watch(name)) for quantizer, name in quantizers.items()]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def _end(name: str, x: Tensor, signed: bool = True) -> float:
    """Where the range of a tensor ends, 0 of an empty one; BenchError where a value is not finite."""
    if x.numel() == 0:
        return 0.0
    low, high = (float(end) for end in torch.aminmax(x))
    # Every comparison with NaN fails.
    if not float("-inf") < low <= high < float("inf"):
        raise BenchError(f"calibration: {name} has values that are not finite ({low} to {high})")
    return max(high, -low if signed else 0.0)
