"""How much quantization hurts a detector, as a number that a search may lower."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from bench.calibration.batches import Batches
from bench.calibration.replay import Replay
from bench.detectors.locations import decoding_of
from bench.detectors.odol import Target, odol, target
from bench.errors import BenchError
from bench.quantization.apply import site_names
from bench.schema.options.search import Objective as Options


class Objective(Protocol):
    """A loss that is a sum over batches, over a sum of counts that do not hang on quantizers."""

    counts: list[int]
    """By batch."""

    def loss(self, batch: int, keep: bool = False) -> float:
        """The numerator of a batch as the quantizers are now; infinite where an output is not a number. `keep` as in
        `Replay.run`, with the batches of which `counts` there are."""
        ...


def make_objective(options: Options, model: nn.Module, batches: Batches, replay: Replay, share: int) -> Objective:
    """The declared objective; `share` batches are kept at the same time. ODOL runs the model in full precision here."""
    if options.kind == "loss":
        return TrainingLoss(model, batches, replay, share)
    return Odol(options, model, batches, replay, share)


class Odol:
    """`bench.detectors.odol` against the model without its quantizers."""

    def __init__(self, options: Options, model: nn.Module, batches: Batches, replay: Replay, share: int) -> None:
        self.background = options.background or 0.0
        self.decode, self.replay, self.share = decoding_of(model), replay, share
        quantizers = list(site_names(model))
        for quantizer in quantizers:
            quantizer.mode = "off"
        self.targets: list[Target] = [
            target(self.decode(replay.run(k)), options.threshold or 0.0) for k in range(len(batches))
        ]
        for quantizer in quantizers:
            quantizer.mode = "quantize"
        self.counts = [one.places for one in self.targets]

    def loss(self, batch: int, keep: bool = False) -> float:
        """As the protocol."""
        found = self.decode(self.replay.run(batch, "tensor", keep, self.share))
        return odol(found, self.targets[batch], self.background)


class TrainingLoss:
    """The detector's own loss against the labels, in evaluation mode; its samplers draw the same at each pass."""

    def __init__(self, model: nn.Module, batches: Batches, replay: Replay, share: int) -> None:
        self.model, self.replay, self.share = model, replay, share
        self.counts = [len(batch.samples) for batch in batches]

    def loss(self, batch: int, keep: bool = False) -> float:
        """As the protocol."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            # Deformable DETR has a loss only where it is told that it trains; its norms and dropout are not told.
            self.model.training = True
            try:
                losses = self.replay.run(batch, "loss", keep, self.share)
            finally:
                self.model.training = False
        # As mmdet adds them up: entries of other names (accuracies) are no losses.
        parts = [value for name, value in losses.items() if "loss" in name]
        each = [part for value in parts for part in (value if isinstance(value, list) else [value])]
        total = float(sum(part.double().mean() for part in each)) * self.counts[batch]
        return total if total == total else float("inf")


def mean(objective: Objective, numerators: float, batches: Sequence[int]) -> float:
    """The loss of these batches from the sum of their numerators; BenchError where it is infinite."""
    value = numerators / max(1, sum(objective.counts[k] for k in batches))
    if value == float("inf"):
        raise BenchError("the quantized detector's outputs are not finite numbers, so their loss says nothing")
    return value
