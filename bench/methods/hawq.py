"""HAWQ-V2's sensitivities (Dong et al., 1911.03852): the trace of the Hessian over the number of weights (eq. 6)."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.fisher import hessian_traces
from bench.detectors.critical import Objective
from bench.detectors.twice import differentiable_twice
from bench.methods.bit_budget import BitBudget, single_losses
from bench.schema.methods import options_of
from bench.schema.options.fisher import HawqOptions


class Hawq(BitBudget):
    """Bits by the Hessian of the detector's own loss; quantizers are another method's."""

    version = 1

    def __init__(self, options: HawqOptions | dict[str, Any]) -> None:
        self.options: HawqOptions = options_of(HawqOptions, options)

    def importance(self, model: nn.Module, weights: Sequence[Tensor], batches: Batches) -> list[Tensor]:
        """The mean trace of each layer, without its sign: some layers of a trained DETR have a negative one, and are no
        less sensitive for that."""
        o = self.options
        losses = single_losses(Objective(model, None, 1.0), batches, o.images)
        with differentiable_twice():
            traces = hessian_traces(losses, weights, o.probes, o.seed)
        self.traces = [float(trace) for trace in traces]
        return [trace.abs() / weight.numel() for trace, weight in zip(traces, weights, strict=True)]

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """The traces too, in the order of the layers."""
        return {"traces": self.traces, **self.allocated}
