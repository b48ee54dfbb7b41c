"""TQT: Trained Quantization Thresholds (Jain et al., 1903.08066), as published and as HQOD ran it.

A weight or activation x becomes clip(round(x / s), n, p) * s with s = 2^ceil(log2 t) / 2^(b-1), or / 2^b without sign;
log2 t is trained by the task's gradient (eq. 7), x by the straight-through one (eq. 8).

MQBench's class of that name, and with it HQOD's rows, never trains t: that is the other method, `tqt_fixed`.
"""

from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.observers import make_observer
from bench.methods.make import observed_quantizers
from bench.quantization.apply import Quantizers
from bench.quantization.mqbench import tqt_quantizers
from bench.quantization.placement import Placement
from bench.quantization.tqt import TqtFixedQuantizer, TqtQuantizer
from bench.schema.methods import options_of
from bench.schema.options.training import TqtFixedOptions, TqtOptions


class TQT:
    """Quantizers with trained thresholds; everything else is ordinary training."""

    version = 1
    repeats = True

    def __init__(self, options: TqtOptions | dict[str, Any]) -> None:
        self.options = options_of(TqtOptions, options)

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A TQT quantizer for each weight and each distinct input tensor."""
        return observed_quantizers(placement, self.options, TqtQuantizer)

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Thresholds from the declared observers."""
        calibrate(model, batches)


class TqtFixed:
    """MQBench's TQT (00f477d): power-of-two steps found at calibration, of which none is trained."""

    version = 1
    repeats = True

    def __init__(self, options: TqtFixedOptions | dict[str, Any]) -> None:
        self.options = options_of(TqtFixedOptions, options)

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A quantizer with a fixed power of two for each weight and each distinct input tensor."""
        o = self.options
        if o.backend == "mqbench":
            return tqt_quantizers(placement, o)
        quantizers: Quantizers = {}
        for weight in placement.weights:
            observer = make_observer(o.weights, weight.bits, weight.signed)
            quantizers[weight.name] = TqtFixedQuantizer(weight.bits, weight.signed, observer, "weight")
        for site in placement.activations:
            observer = make_observer(o.image if site.producer == "input" else o.activations, site.bits, site.signed)
            quantizers[site.name] = TqtFixedQuantizer(site.bits, site.signed, observer, "activation")
        return quantizers

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Step sizes from the declared observers."""
        calibrate(model, batches)
