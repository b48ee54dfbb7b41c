"""Random sensitivities: what an integer program gives that knows the weights' errors, and nothing of the loss."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.methods.bit_budget import BitBudget
from bench.schema.methods import options_of
from bench.schema.options.fisher import RandomBitsOptions


class RandomBits(BitBudget):
    """A control of methods that find sensitivities; quantizers are another method's."""

    version = 1

    def __init__(self, options: RandomBitsOptions | dict[str, Any]) -> None:
        self.options: RandomBitsOptions = options_of(RandomBitsOptions, options)

    def importance(self, model: nn.Module, weights: Sequence[Tensor], batches: Batches) -> list[Tensor]:
        """A power of ten for each layer, its exponent drawn evenly from 0 to `decades`."""
        generator = torch.Generator().manual_seed(self.options.seed)
        exponents = torch.rand(len(weights), generator=generator, dtype=torch.float64) * self.options.decades
        return list(10**exponents)
