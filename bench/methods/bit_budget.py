"""Mixed precision under one budget: what methods share that differ in how they tell which layers are sensitive.

A layer's error at b bits is d = w - q_b(w), q_b with the step that the declared observer finds. It costs the sum of
importance x d^2, and the costs of all layers together are made least (2407.03442, eq. 11).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.fisher import Loss
from bench.calibration.observers import make_observer
from bench.detectors.critical import Objective
from bench.errors import BenchError
from bench.quantization.budget import allocate_bits
from bench.quantization.footprint import FP_BITS, macs
from bench.quantization.functional import uniform
from bench.quantization.placement import Placement, WeightSite
from bench.quantization.quantizer import step_shape
from bench.quantization.ranges import integer_range
from bench.schema.options.fisher import BudgetOptions


class BitBudget:
    """Base of such methods."""

    version: int
    options: BudgetOptions

    def importance(self, model: nn.Module, weights: Sequence[Tensor], batches: Batches) -> list[Tensor]:
        """Of each weight: a tensor of its shape, one value for each entry, or a scalar for all of them."""
        raise NotImplementedError

    def allocate(self, model: nn.Module, placement: Placement, batches: Batches) -> Mapping[str, int]:
        """Bits of the weights; activations keep theirs."""
        choices = self.options.choices
        weights = weights_of(model, placement.weights)
        importance = self.importance(model, list(weights.values()), batches)
        sizes = np.array(self._sizes(model, placement, batches), dtype=np.float64)
        found = zip(weights.values(), importance, placement.weights, strict=True)
        costs = [self._costs(weight, of, site) for weight, of, site in found]
        budget = sum(size * site.bits for size, site in zip(sizes, placement.weights, strict=True))
        table = sizes[:, None] * np.array(choices)
        chosen = allocate_bits(costs, table, budget)
        bits = {name: choices[k] for name, k in zip(weights, chosen, strict=True)}
        self.allocated = {
            "choices": list(choices),
            "budget": self.options.budget,
            "limit": float(budget),
            "used": float(table[np.arange(len(table)), chosen].sum()),
            "layers": {
                site.name: {
                    "sensitivity": _short(float(of.sum())),
                    "bits": bits[site.name],
                    "weights": int(np.prod(site.shape)),
                    "costs": [_short(cost) for cost in each],
                }
                for site, of, each in zip(placement.weights, importance, costs, strict=True)
            },
        }
        return bits

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """What was allocated: see docs/fisher.md."""
        return self.allocated

    def _costs(self, weight: Tensor, importance: Tensor, site: WeightSite) -> list[float]:
        with torch.no_grad():
            of = importance.double()
            return [
                float((of * self._error(weight, bits, site).double().square()).sum()) for bits in self.options.choices
            ]

    def _error(self, weight: Tensor, bits: int, site: WeightSite) -> Tensor:
        observer = make_observer(
            self.options.weights, bits, site.signed, step_shape(site.shape, self.options.granularity)
        )
        observer.observe(weight)
        return weight - uniform(weight, observer.step().to(weight), *integer_range(bits, site.signed))

    def _sizes(self, model: nn.Module, placement: Placement, batches: Batches) -> list[float]:
        """What one bit of each weight takes of the budget."""
        if self.options.budget == "bytes":
            return [np.prod(site.shape) / 8 for site in placement.weights]
        inputs = {reader: site.bits for site in placement.activations for reader in site.readers}
        found = {site.module: 0.0 for site in placement.weights}
        training = model.training
        model.eval()
        for (module, call), count in macs(model, next(iter(batches))).items():
            if module in found:
                found[module] += count * inputs.get((module, call), FP_BITS)
        model.train(training)
        return list(found.values())


def _short(value: float) -> float:
    """Six digits, as many as a record needs."""
    return float(f"{value:.6g}")


def weights_of(model: nn.Module, sites: Sequence[WeightSite]) -> dict[str, Tensor]:
    """The weights as they are, by the names of their sites; BenchError for one that is no parameter."""
    found: dict[str, Tensor] = {}
    for site in sites:
        weight = model.get_submodule(site.module).weight
        if not isinstance(weight, nn.Parameter):
            raise BenchError(f"{site.module}: bits cannot be allocated to a weight that is no parameter")
        found[site.name] = weight
    return found


def single_losses(objective: Objective, batches: Batches, images: int | None = None) -> Iterator[Loss]:
    """The objective of each calibration image alone, or of the first `images`."""
    return islice(
        (
            lambda batch=batch, k=k: objective(batch.inputs[k : k + 1], batch.samples[k : k + 1])
            for batch in batches
            for k in range(len(batch.samples))
        ),
        images,
    )
