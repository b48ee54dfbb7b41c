"""Uniform quantization with fixed steps (Jacob et al., 1712.05877), symmetric.

A weight or activation v becomes clip(round(v / s), n, p) * s (eq. 12 with zero point 0); the step s comes from the
declared observer and stays as it is, while gradients pass the rounding straight through (section 3).
"""

from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.observers import make_observer
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.quantization.quantizer import step_shape
from bench.quantization.uniform import UniformQuantizer
from bench.schema.methods import UniformOptions, options_of


class Uniform:
    """Quantizers with fixed steps; everything else is ordinary training."""

    version = 1

    def __init__(self, options: UniformOptions | dict[str, Any]) -> None:
        self.options = options_of(UniformOptions, options)

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A quantizer with a fixed step for each weight and each distinct input tensor."""
        o = self.options
        quantizers: Quantizers = {}
        for weight in placement.weights:
            shape = step_shape(weight.shape, o.granularity)
            observer = make_observer(o.weights, weight.bits, weight.signed, shape)
            quantizers[weight.name] = UniformQuantizer(weight.bits, weight.signed, observer, shape)
        for site in placement.activations:
            observer = make_observer(o.activations, site.bits, site.signed)
            quantizers[site.name] = UniformQuantizer(site.bits, site.signed, observer)
        return quantizers

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Step sizes from the declared observers."""
        calibrate(model, batches)
