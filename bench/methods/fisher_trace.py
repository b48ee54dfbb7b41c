"""Training on a flat critical objective (Yang et al., 2407.03442, eq. 12): L + lambda * tr(I_F).

The trace of the empirical Fisher information of the critical objective is the mean over single images of
|dL_F / dw|^2, over all quantized weights w; its gradient needs second derivatives. The gradient of a quantizer is
straight-through at both orders.
"""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from bench.calibration.fisher import fisher_trace
from bench.detectors.critical import Objective
from bench.detectors.twice import differentiable_twice
from bench.errors import BenchError
from bench.methods.fisher import critical_group, names_of
from bench.quantization.apply import quantized_layers
from bench.schema.methods import options_of
from bench.schema.options.fisher import FisherTraceOptions


class FisherTrace:
    """The regulariser alone; quantizers are another method's."""

    version = 1

    def __init__(self, options: FisherTraceOptions | dict[str, Any]) -> None:
        self.options = options_of(FisherTraceOptions, options)
        self.traces: list[float] = []

    def regulariser(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """lambda * trace, from the first images of the batch, one by one; lambda follows `batch["progress"]`.

        Without categories the trace is that of the detector's own loss. BenchError where no weight is quantized.
        """
        o, images = self.options, range(min(self.options.images, len(batch["data_samples"])))
        objective = Objective(model, critical_group(model, o), 0.0 if o.categories else 1.0)
        first, last = o.strength
        with differentiable_twice():
            trace = fisher_trace([_single(objective, batch, k) for k in images], weights_of(model))
        self.traces.append(float(trace.detach()))
        now: float = first + (last - first) * batch["progress"]
        return now * trace

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """The categories, and the mean trace of the first and of the last steps of this process, up to 50."""
        first, last = (fmean(part) for part in (self.traces[:50], self.traces[-50:]))
        return {
            "categories": names_of(model, critical_group(model, self.options)),
            "trace": {"first": first, "last": last},
        }


def _single(objective: Objective, batch: dict[str, Any], k: int) -> Any:
    return lambda: objective(batch["inputs"][k : k + 1], batch["data_samples"][k : k + 1])


def weights_of(model: nn.Module) -> list[Tensor]:
    """The weights that are quantized and trained; BenchError where there are none."""
    layers = quantized_layers(model).values()
    weights = [layer.weight for layer in layers if layer.held.weight is not None and layer.weight.requires_grad]
    if not weights:
        raise BenchError("fisher_trace: no weight of the model is quantized and trained")
    return weights
