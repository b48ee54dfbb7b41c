"""Quantizers whose tensors are kept as histograms, so that the scale of any metric can be asked for afterwards."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bench.calibration.choice import Site, State
from bench.calibration.histogram import Histogram
from bench.calibration.observers import make_observer
from bench.calibration.range_search import Codes, Scale, best_range
from bench.quantization.apply import Quantizers, site_names
from bench.quantization.placement import Placement
from bench.quantization.quantizer import step_shape
from bench.quantization.uniform import OffsetQuantizer, UniformQuantizer
from bench.schema.options.search import DetptqOptions, LapqOptions

Metric = float | Literal["minmax"]
"""The p of |x - q(x)|^p, or the whole range."""


class Collected:
    """An observer that keeps a tensor as a histogram, or each of its channels as one."""

    def __init__(self, codes: Codes, shape: tuple[int, ...] = ()) -> None:
        """`shape` of the step: () or [out, 1, ...]."""
        self.codes, self.shape = codes, shape
        self.histograms = [Histogram() for _ in range(shape[0] if shape else 1)]

    def observe(self, x: Tensor) -> None:
        """Take a tensor of any shape, or a weight [out, ...], into account."""
        for histogram, own in zip(self.histograms, x if self.shape else (x,), strict=True):
            histogram.add(own)

    def scales(self, metric: Metric) -> list[Scale]:
        """The best scale under a metric, one a channel; step 1 where there is nothing but zeros."""
        if metric == "minmax":
            return [self.codes.scale(one.low, one.high) for one in self.histograms]
        return [best_range(one, self.codes, metric) for one in self.histograms]

    def scale(self) -> Scale:
        """That of the whole range."""
        return self.scales("minmax")[0]

    def step(self) -> Tensor:
        """The steps, of `shape`, of the whole range."""
        return _steps(self.scales("minmax"), self.shape)

    def threshold(self) -> Tensor:
        """The ends of the whole range."""
        return self.step() * (self.codes.qmax + 1)

    def state(self, metric: Metric) -> State:
        """What a quantizer holds under a metric."""
        scales = self.scales(metric)
        state = {"step": _steps(scales, self.shape)}
        return {**state, "zero": torch.tensor(scales[0].zero, dtype=torch.int32)} if self.codes.offset else state


def collecting_quantizers(placement: Placement, options: DetptqOptions | LapqOptions) -> Quantizers:
    """Quantizers with fixed steps; those of weights have the declared observer, without one histograms too."""
    quantizers: Quantizers = {}
    for weight in placement.weights:
        shape, form = step_shape(weight.shape, options.granularity), (weight.bits, weight.signed)
        declared = options.weights
        observer = make_observer(declared, *form, shape) if declared else Collected(Codes.of(*form), shape)
        quantizers[weight.name] = UniformQuantizer(*form, observer, shape)
    for site in placement.activations:
        # The range of a tensor without sign begins at 0 anyway.
        if options.offset == "activations" and site.signed:
            seen = Collected(Codes.of(site.bits, True, offset=True))
            quantizers[site.name] = OffsetQuantizer(site.bits, seen)
        else:
            form = site.bits, site.signed
            quantizers[site.name] = UniformQuantizer(*form, Collected(Codes.of(*form)))
    return quantizers


def collected(model: nn.Module) -> dict[str, tuple[UniformQuantizer | OffsetQuantizer, Collected]]:
    """By site, the quantizers with histograms and these; weights first."""
    return {
        name: (quantizer, quantizer.observer)
        for quantizer, name in site_names(model).items()
        if isinstance(quantizer, UniformQuantizer | OffsetQuantizer) and isinstance(quantizer.observer, Collected)
    }


def candidate_sites(model: nn.Module, metrics: Sequence[Metric]) -> dict[str, Site]:
    """By site the quantizer with its state under each metric."""
    return {
        name: Site(quantizer, [seen.state(metric) for metric in metrics])
        for name, (quantizer, seen) in collected(model).items()
    }


def _steps(scales: Sequence[Scale], shape: tuple[int, ...]) -> Tensor:
    return torch.tensor([scale.step for scale in scales]).view(shape)
