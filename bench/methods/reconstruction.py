"""Methods that round weights by reconstruction, after a method that makes and calibrates quantizers.

AdaRound (2004.10568), BRECQ (2102.05426) and QDrop (2203.05740), the latter two as QDrop's detection branch and
MQBench have them: the weights of a block are rounded together with its activations quantized, whose step sizes are
learned meanwhile. BRECQ as published rounds first and learns step sizes then.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from bench.calibration.batches import Batch, Batches
from bench.calibration.reconstruct import Result, reconstruct
from bench.schema.methods import options_of
from bench.schema.options.calibration import BlockOptions, QdropOptions, ReconstructionOptions


class AdaRound:
    """Layer by layer; step sizes stay."""

    version = 1
    needs_quantizers = True

    def __init__(self, options: ReconstructionOptions | dict[str, Any]) -> None:
        self.options = options_of(ReconstructionOptions, options)
        self.results: dict[str, Result] = {}

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Round and bake the weights."""
        self.results = reconstruct(model, _first(batches, self.options.images), self.options)

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """By unit, in the order of the pass: its layers, its error before and after, and the share that was flipped."""
        return {"units": {name: result._asdict() for name, result in self.results.items()}}


class BRECQ(AdaRound):
    """Block by block; layers outside of blocks one by one."""

    version = 1

    def __init__(self, options: BlockOptions | dict[str, Any]) -> None:
        self.options: BlockOptions = options_of(BlockOptions, options)
        self.results = {}

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Round and bake the weights, learn the step sizes of activations."""
        o = self.options
        self.results = reconstruct(model, _first(batches, o.images), o, o.blocks, step_lr=o.step_lr)


class QDrop(BRECQ):
    """As BRECQ, while activations are dropped from quantization at random."""

    version = 1

    def __init__(self, options: QdropOptions | dict[str, Any]) -> None:
        self.options: QdropOptions = options_of(QdropOptions, options)
        self.results = {}

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Round and bake the weights, learn the step sizes of activations."""
        o = self.options
        self.results = reconstruct(model, _first(batches, o.images), o, o.blocks, o.drop, o.step_lr)


def _first(batches: Batches, images: int) -> list[Batch]:
    """Whole batches, from the first on, until there are so many images."""
    taken: list[Batch] = []
    for batch in batches:
        taken.append(batch)
        if sum(len(each.samples) for each in taken) >= images:
            break
    return taken
