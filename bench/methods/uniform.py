"""Uniform quantization with fixed steps (Jacob et al., 1712.05877).

A weight or activation v becomes (clip(round(v / s) + z, n, p) - z) * s (eq. 12), with z = 0 unless activations have an
offset. The step s and the offset come from the declared observer and stay as they are, while gradients pass the
rounding straight through (section 3).
"""

from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.observers import channel_ranges, make_observer
from bench.calibration.range_observer import RangeObserver
from bench.methods.make import observed_quantizers
from bench.quantization.apply import Quantizers
from bench.quantization.placement import ActivationSite, Placement
from bench.quantization.quantizer import Quantizer
from bench.quantization.uniform import ChannelOffsetQuantizer, OffsetQuantizer, UniformQuantizer
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
        for site in placement.activations:
            if self.options.depthwise == "channel" and placement.depthwise(site):
                quantizers[site.name] = self._of_channels(site)
            # The range of a tensor without sign begins at 0 anyway.
            elif self.options.offset == "activations" and site.signed:
                observer = RangeObserver(self.options.activations, site.bits, True, offset=True)
                quantizers[site.name] = OffsetQuantizer(site.bits, observer)
        return quantizers

    def _of_channels(self, site: ActivationSite) -> Quantizer:
        spec, shape = self.options.activations, (1, site.shape[1], 1, 1)
        if self.options.offset == "activations" and site.signed:
            return ChannelOffsetQuantizer(site.bits, channel_ranges(spec, site.bits, True, shape, offset=True), shape)
        observer = make_observer(spec, site.bits, site.signed, shape)
        return UniformQuantizer(site.bits, site.signed, observer, shape)

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Step sizes from the declared observers."""
        calibrate(model, batches)
