"""Uniform quantization with fixed steps (Jacob et al., 1712.05877).

A weight or activation v becomes (clip(round(v / s) + z, n, p) - z) * s (eq. 12), with z = 0 unless activations have an
offset. The step s and the offset come from the declared observer and stay as they are, while gradients pass the
rounding straight through (section 3).
"""

from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.range_observer import RangeObserver
from bench.methods.make import observed_quantizers
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.quantization.uniform import OffsetQuantizer, UniformQuantizer
from bench.schema.methods import options_of
from bench.schema.options.calibration import UniformOptions


class Uniform:
    """Quantizers with fixed steps; everything else is ordinary training."""

    version = 1
    repeats = True

    def __init__(self, options: UniformOptions | dict[str, Any]) -> None:
        self.options = options_of(UniformOptions, options)

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A quantizer with a fixed step for each weight and each distinct input tensor."""
        quantizers = observed_quantizers(placement, self.options, UniformQuantizer)
        if self.options.offset is None:
            return quantizers
        # The range of a tensor without sign begins at 0 anyway.
        signed = [site for site in placement.activations if site.signed]
        observed = self.options.activations
        return quantizers | {
            site.name: OffsetQuantizer(site.bits, RangeObserver(observed, site.bits, True, offset=True))
            for site in signed
        }

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Step sizes from the declared observers."""
        calibrate(model, batches)
