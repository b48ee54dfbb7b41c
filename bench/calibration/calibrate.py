"""Initialise the quantizers of a model from calibration passes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from bench.quantization.apply import quantized_layers
from bench.quantization.quantizer import Quantizer


@torch.no_grad()
def calibrate(model: nn.Module, forwards: Iterable[Callable[[], Any]]) -> None:
    """Initialise every step size: weights from themselves, activations from FP passes in eval mode."""
    training = model.training
    model.eval()
    for layer in quantized_layers(model).values():
        if layer.held.weight.observer is not None:
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
