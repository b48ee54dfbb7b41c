"""LAPQ: Loss Aware Post-training Quantization (Nahshan et al., 1911.07190; code: 12cd3bf4 of ynahshan's).

For some p the step sizes of all tensors minimise |x - q(x)|^p; L(p) is then the loss of the whole network on the
calibration images. A parabola through (p, L) gives the one p of the network (section 4.1 and the code). Powell's method
over all step sizes together, started there, may follow (section 4.2).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.replay import Replay
from bench.methods.candidates import collected, collecting_quantizers
from bench.methods.objective import make_objective, mean
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.schema.methods import options_of
from bench.schema.options.search import LapqOptions, Powell


class Minimum(NamedTuple):
    """Where a sampled function is smallest."""

    at: float
    fitted: bool
    """Whether it is the vertex of the parabola; else a sample."""


def minimum(at: Sequence[float], values: Sequence[float]) -> Minimum:
    """The vertex of the parabola fitted to at least three samples; the best sample where the parabola has no minimum
    among them."""
    a, b, _ = np.polyfit(at, values, 2)
    vertex = -b / (2 * a) if a > 0 else np.inf
    if min(at) <= vertex <= max(at):
        return Minimum(float(vertex), True)
    return Minimum(at[int(np.argmin(values))], False)


class LAPQ:
    """Fixed steps of one metric, which the loss of the whole network chooses."""

    version = 1

    def __init__(self, options: LapqOptions | dict[str, Any]) -> None:
        self.options: LapqOptions = options_of(LapqOptions, options)
        self._facts: dict[str, Any] = {}

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """A quantizer with a fixed step for each weight and each distinct input tensor."""
        return collecting_quantizers(placement, self.options)

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """The p, and where declared Powell's steps."""
        o = self.options
        calibrate(model, batches)
        training = model.training
        model.eval()
        every = range(len(batches))
        with Replay(model, batches) as replay:
            objective = make_objective(o.objective, model, batches, replay, len(every))

            def loss() -> float:
                return mean(objective, sum(map(objective.loss, every)), every)

            tried = np.linspace(o.lowest, o.highest, o.samples).tolist()
            losses = []
            for p in tried:
                _take(model, p)
                losses.append(loss())
            best = minimum(tried, losses)
            _take(model, best.at)
            self._facts = {
                "samples": [[p, value] for p, value in zip(tried, losses, strict=True)],
                "p": best.at,
                "vertex": best.fitted,
                "loss": loss(),
            }
            if o.powell is not None:
                self._facts["powell"] = _powell(model, o.powell, loss)
            self._facts["passes"] = round(replay.passes, 2)
        model.train(training)

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """What was chosen; `docs/detptq.md` describes the entries."""
        return self._facts


def _take(model: nn.Module, p: float) -> None:
    for quantizer, seen in collected(model).values():
        quantizer.load_state_dict(dict(seen.state(p)))


def _powell(model: nn.Module, limits: Powell, loss: Callable[[], float]) -> dict[str, Any]:
    """Powell's method over one factor a tensor, by which its steps are multiplied; as logarithms, so that none changes
    its sign. The steps stay those with the smallest loss that was seen."""
    from scipy.optimize import minimize

    steps = [quantizer.step for quantizer, _ in collected(model).values()]
    start = [step.clone() for step in steps]
    best: tuple[float, NDArray[np.float64]] = (loss(), np.zeros(len(steps)))

    def at(logarithms: NDArray[np.float64]) -> float:
        nonlocal best
        _scale(steps, start, logarithms)
        found = loss()
        best = min(best, (found, logarithms.copy()), key=lambda seen: seen[0])
        return found

    options = {"maxiter": limits.iterations, "maxfev": limits.evaluations}
    result = minimize(at, best[1], method="Powell", options=options)
    _scale(steps, start, best[1])
    return {"loss": best[0], "evaluations": int(result.nfev), "iterations": int(result.nit)}


def _scale(steps: list[Tensor], start: list[Tensor], logarithms: NDArray[np.float64]) -> None:
    for step, first, logarithm in zip(steps, start, logarithms, strict=True):
        step.copy_(first * float(np.exp2(logarithm)))
