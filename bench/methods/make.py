"""The quantizers of a method that gives every site one of the same class, with an observer of its kind."""

from collections.abc import Callable

from bench.calibration.observers import make_observer
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.quantization.quantizer import Quantizer, step_shape
from bench.schema.options.calibration import UniformOptions
from bench.schema.options.training import LsqOptions, TqtOptions


def observed_quantizers(
    placement: Placement,
    options: LsqOptions | TqtOptions | UniformOptions,
    of_weight: Callable[..., Quantizer],
    of_activation: Callable[..., Quantizer] | None = None,
) -> Quantizers:
    """By the site's name what `of_weight(bits, signed, observer, shape=shape)` makes, and for activations
    `of_activation(bits, signed, observer)`; without the latter, the former makes both."""
    quantizers: Quantizers = {}
    for weight in placement.weights:
        shape = step_shape(weight.shape, options.granularity)
        observer = make_observer(options.weights, weight.bits, weight.signed, shape)
        quantizers[weight.name] = of_weight(weight.bits, weight.signed, observer, shape=shape)
    for site in placement.activations:
        observer = make_observer(options.activations, site.bits, site.signed)
        quantizers[site.name] = (of_activation or of_weight)(site.bits, site.signed, observer)
    return quantizers
