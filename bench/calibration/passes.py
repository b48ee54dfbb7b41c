"""Passes of a quantized model of which only some quantizers take part."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

from bench.quantization.apply import site_names
from bench.quantization.layer import QuantLayer
from bench.quantization.quantizer import Quantizer


@contextmanager
def without_quantizers(model: nn.Module, but: Collection[Quantizer] = ()) -> Iterator[None]:
    """Let all quantizers of a model, but these, hand on what they get."""
    modes = {quantizer: quantizer.mode for quantizer in site_names(model) if quantizer not in but}
    for quantizer in modes:
        quantizer.mode = "off"
    try:
        yield
    finally:
        for quantizer, mode in modes.items():
            quantizer.mode = mode


def quantizers_of(layer: QuantLayer) -> list[Quantizer]:
    """The quantizers that a layer's weight and inputs go through."""
    held = layer.held
    return [quantizer for quantizer in (held.weight, *held.inputs, *held.upstream) if quantizer is not None]
