"""LSQ: Learned Step Size Quantization (Esser et al., 1902.08153), as HQOD trains it.

A weight or activation v becomes round(clip(v / s, -QN, QP)) * s (eqs. 1 and 2); the step size s is trained by the
task's gradient (eq. 3), which is scaled by g = 1 / sqrt(N * QP) (section 2.2).
"""

from functools import partial
from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.methods.make import observed_quantizers
from bench.quantization.apply import Quantizers
from bench.quantization.lsq import LsqQuantizer
from bench.quantization.mqbench import lsq_quantizers
from bench.quantization.placement import Placement
from bench.schema.methods import options_of
from bench.schema.options.training import LsqOptions


class LSQ:
    """Quantizers with learned step sizes; everything else is ordinary training."""

    version = 1
    repeats = True

    def __init__(self, options: LsqOptions | dict[str, Any]) -> None:
        self.options: LsqOptions = options_of(LsqOptions, options)

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """An LSQ quantizer for each weight and each distinct input tensor."""
        o = self.options
        if o.backend == "mqbench":
            return lsq_quantizers(placement, o)
        lsq = partial(LsqQuantizer, range_test=o.range_test, grad_scale=o.grad_scale)
        of_weight, of_activation = partial(lsq, batched=False), partial(lsq, batched=True)
        return observed_quantizers(placement, o, of_weight, of_activation)

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Step sizes from the declared observers."""
        calibrate(model, batches)
