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
from bench.calibration.choice import Chosen, Search, Site
from bench.calibration.replay import Replay
from bench.errors import BenchError
from bench.methods.candidates import candidate_sites, collecting_quantizers
from bench.methods.objective import Objective, make_objective, mean
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.schema.methods import options_of
from bench.schema.options.search import DetptqOptions


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
        """The steps of each metric, then the search among them.

        BenchError where there is no second batch to report on, and for a detector whose outputs ODOL cannot read.
        """
        half = len(batches) // 2
        if half == 0:
            raise BenchError("detptq chooses on one half of the calibration batches: declare at least two batches")
        calibrate(model, batches)
        training = model.training
        model.eval()
        with Replay(model, batches) as replay:
            objective = make_objective(self.options.objective, model, batches, replay, half)
            self._facts = self._searched(candidate_sites(model, self.options.candidates), objective, half)
            self._facts["passes"] = round(replay.passes, 2)
        model.train(training)

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """What was chosen; `docs/detptq.md` describes the entries."""
        return self._facts

    def _searched(self, sites: Mapping[str, Site], objective: Objective, half: int) -> dict[str, Any]:
        """Give the quantizers what is chosen, and say what that is."""
        o, choosing, holding = self.options, range(half), range(half, len(objective.counts))
        search = Search(sites, objective.loss, choosing, max(1, round(half * (o.first_share or 1.0))))

        def held() -> float:
            return mean(objective, sum(map(objective.loss, holding)), holding)

        fixed: dict[int, float] = {}
        held_out = {}
        if o.search in ("fixed", "descent"):
            fixed = search.fixed(range(len(o.candidates)))
            held_out["fixed"] = held()
        found = self._choose(search, fixed)
        held_out["chosen"] = held_out["fixed"] if o.search == "fixed" else held()
        names = [c if isinstance(c, str) else f"{c:g}" for c in o.candidates]
        return {
            "candidates": names,
            "fixed": {names[k]: mean(objective, total, choosing) for k, total in fixed.items()},
            # A record sorts names.
            "order": list(search.sites),
            "choice": {site: names[k] for site, k in found.choices.items()},
            "curve": [mean(objective, total, choosing) for total in found.curve],
            "held_out": held_out,
        }

    def _choose(self, search: Search, fixed: Mapping[int, float]) -> Chosen:
        """`fixed`: the loss of each metric everywhere, where the search begins with the best of these."""
        o = self.options
        if o.search == "greedy":
            return search.greedy()
        if o.search == "random":
            return search.random(o.seed or 0)
        start = min(fixed, key=fixed.__getitem__)
        if o.search == "descent":
            return search.descent(start, o.accept or 0.0)
        return Chosen(dict.fromkeys(search.sites, start), [])
