"""Uniform quantization with fixed steps (Jacob et al., 1712.05877), symmetric.

A weight or activation v becomes clip(round(v / s), n, p) * s (eq. 12 with zero point 0); the step s comes from the
declared observer and stays as it is, while gradients pass the rounding straight through (section 3).
"""

from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.methods.make import observed_quantizers
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.quantization.uniform import UniformQuantizer
from bench.schema.methods import UniformOptions, options_of


class Uniform:
    """Quantizers with fixed steps; everything else is ordinary training."""

    version = 1

    def __init__(self, options: UniformOptions | dict[str, Any]) -> None:
        self.options = options_of(UniformOptions, options)

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A quantizer with a fixed step for each weight and each distinct input tensor."""
        return observed_quantizers(placement, self.options, UniformQuantizer)

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Step sizes from the declared observers."""
        calibrate(model, batches)
