"""DetPTQ (2304.09785), reconstructed from its abstract: each quantizer has the p of its Lp metric that hurts detection
least.

The abstract says that the p of ||x - q(x)||_p is chosen for each layer by an object detection output loss. Which loss,
which p, and in which order are ours: `bench.detectors.odol` and `bench.calibration.choice`.

Of the calibration batches the first half chooses and the second reports, since a loss that was minimised says little.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.choice import Chosen, Search
from bench.calibration.replay import Replay
from bench.errors import BenchError
from bench.methods.candidates import candidate_sites, collecting_quantizers
from bench.methods.objective import make_objective, mean
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.schema.methods import DetptqOptions, options_of


class DetPTQ:
    """Fixed steps, chosen among those that several metrics find."""

    version = 1

    def __init__(self, options: DetptqOptions | dict[str, Any]) -> None:
        self.options: DetptqOptions = options_of(DetptqOptions, options)
        self._facts: dict[str, Any] = {}

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A quantizer with a fixed step for each weight and each distinct input tensor."""
        return collecting_quantizers(placement, self.options)

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """The steps of each metric, then the search among them. BenchError where there is no second batch to report
        on."""
        o, half = self.options, len(batches) // 2
        if half == 0:
            raise BenchError("detptq chooses on one half of the calibration batches: declare at least two batches")
        calibrate(model, batches)
        training = model.training
        model.eval()
        choosing, holding = list(range(half)), list(range(half, len(batches)))
        with Replay(model, batches) as replay:
            objective = make_objective(o.objective, model, batches, replay, half)

            def loss(numbers: list[int], total: float | None = None) -> float:
                found = sum(map(objective.loss, numbers)) if total is None else total
                return mean(objective, found, numbers)

            search = Search(candidate_sites(model, o.candidates), objective.loss, choosing, o.first_batches)
            fixed: dict[int, float] = {}
            held = {}
            if o.search in ("fixed", "descent"):
                fixed = search.fixed(range(len(o.candidates)))
                held["fixed"] = loss(holding)
            found = self._choose(search, min(fixed, key=fixed.__getitem__) if fixed else 0)
            names = [str(candidate) for candidate in o.candidates]
            self._facts = {
                "candidates": names,
                "fixed": {names[k]: loss(choosing, total) for k, total in fixed.items()},
                "choice": {site: names[k] for site, k in found.choices.items()},
                "curve": [loss(choosing, total) for total in found.curve],
                "held_out": {**held, "chosen": held["fixed"] if o.search == "fixed" else loss(holding)},
                "passes": round(replay.passes, 2),
            }
        model.train(training)

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """What was chosen; `docs/ptq.md` describes the entries."""
        return self._facts

    def _choose(self, search: Search, start: int) -> Chosen:
        o = self.options
        if o.search == "fixed":
            return Chosen(dict.fromkeys(search.sites, start), [])
        if o.search == "descent":
            return search.descent(start, o.accept or 0.0)
        if o.search == "greedy":
            return search.greedy()
        return search.random(o.seed or 0)
