"""Empirical bias correction (Nagel et al., 1906.04721, section 4.2 and appendix), as AIMET and NNCF have it.

Quantization shifts the mean of a layer's output channels. The shift is measured on calibration images and taken off the
bias: b <- b + E[y] - E[y_q].
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.passes import quantizers_of, without_quantizers
from bench.calibration.replay import Replay
from bench.quantization.apply import quantized_layers
from bench.quantization.layer import QuantLayer
from bench.schema.methods import options_of
from bench.schema.options.calibration import BiasCorrectionOptions


class BiasCorrection:
    """Changes biases after the quantizers are calibrated, so it stands behind the method that makes them."""

    version = 1
    needs_quantizers = True

    def __init__(self, options: BiasCorrectionOptions | dict[str, Any]) -> None:
        self.options = options_of(BiasCorrectionOptions, options)
        self.shifts: dict[str, float] = {}

    def adapt_model(self, model: nn.Module) -> None:
        """A bias of zeros for the layers that have none."""
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is None:
                module.bias = nn.Parameter(module.weight.new_zeros(module.weight.shape[0]))

    @torch.no_grad()
    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Correct each layer; with quantized inputs in the order in which a pass calls them."""
        training = model.training
        model.eval()
        layers, count = quantized_layers(model), len(batches)
        # What lies before the layer at hand was computed for the one before it.
        with Replay(model, batches, layers_alone=True) as replay:
            with without_quantizers(model):
                wanted = means(layers, (partial(replay.run, k) for k in range(count)))
            for name in wanted:
                layer = layers[name]
                # All quantizers take part, or the layer's own alone.
                alone = self.options.inputs == "fp"
                with without_quantizers(model, quantizers_of(layer)) if alone else nullcontext():
                    passes = (partial(replay.run, k, keep=True, share=count) for k in range(count))
                    own = means({name: layer}, passes)[name]
                shift = wanted[name] - own
                assert isinstance(layer.bias, Tensor)
                layer.bias += shift.to(layer.bias)
                self.shifts[name] = float(shift.abs().max())
        model.train(training)

    def facts(self, model: nn.Module) -> dict[str, Any]:
        """By layer the largest |correction| of a channel."""
        return {"largest correction": self.shifts}


class _ReachedError(Exception):
    """All that a pass was run for is known."""


def means(layers: dict[str, QuantLayer], passes: Iterable[Callable[[], Any]]) -> dict[str, Tensor]:
    """By layer, in the order of their first call, the mean of each output channel over images, places and calls."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, _: Any, y: Tensor) -> None:
            channels = y.transpose(0, 1) if isinstance(layer, nn.Conv2d) else y.movedim(-1, 0)
            each = channels.flatten(1)
            sums[name] = sums.get(name, 0) + each.double().sum(1)
            counts[name] = counts.get(name, 0) + each.shape[1]
            # A pass for one layer ends behind its last call.
            if len(layers) == 1 and layers[name].call == 0:
                raise _ReachedError

        return hook

    # Before a quantizer that stands behind the layer: its codes would hide the shift.
    hooks = [layer.register_forward_hook(watch(name), prepend=True) for name, layer in layers.items()]
    try:
        for forward in passes:
            with suppress(_ReachedError):
                forward()
    finally:
        for handle in hooks:
            handle.remove()
    return {name: total / max(1, counts[name]) for name, total in sums.items()}
