"""What quantized layers share: their quantizers, and which of them a call needs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.quantization.calls import Counted
from bench.quantization.quantizer import Quantizer
from bench.quantization.shared import versions


class Held(NamedTuple):
    """A layer's quantizers, outside its children: one that many layers share is the child of none of them."""

    weight: Quantizer | None
    """None: the weight stays in FP."""
    inputs: tuple[Quantizer | None, ...]
    """By the number of the layer's call in one pass: one per pyramid level in a shared head. None: the layer quantizes
    nothing itself, because the input stays in FP or comes quantized."""
    upstream: tuple[Quantizer, ...] = ()
    """Those that inputs went through before they reach the layer (`bench.quantization.taps`)."""


class QuantLayer(Counted, nn.Module):
    """Base of the quantized layers; `hold` is called once, before the first pass."""

    weight: Tensor
    held: Held
    pass_weight: tuple[()] | tuple[Tensor, list[Tensor]]
    """What `shared_weight` returns; in a tuple, since a module takes a bare tensor for a parameter."""
    made_of: tuple[int, ...]
    """What it is valid for: whether gradients are recorded, and the versions of the tensors that it was made of."""

    def hold(self, held: Held) -> None:
        """Take the quantizers."""
        self.held, self.pass_weight, self.made_of = held, (), ()
        self.count_calls(len(held.inputs))

    def forget(self) -> None:
        """Quantize the weight anew with the next call."""
        if self.pass_weight:
            self.pass_weight = ()

    def next_input(self) -> Quantizer | None:
        """The quantizer of the input of this call; None where it is read in FP."""
        return self.held.inputs[self.next_call()]

    @property
    def shares_weight(self) -> bool:
        """Whether other calls of the pass under way use the same quantized weight."""
        return self.calls > 1 and self.pass_of is not None

    def quantized_weight(self) -> Tensor:
        """The weight as the layer uses it, made once for all calls of a pass; asked for after `next_input`."""
        quantizer, weight = self.held.weight, self.weight
        if quantizer is None:
            return weight
        if not self.shares_weight:
            return quantizer(weight)  # type: ignore[no-any-return]
        return self.shared_weight()[0]

    def shared_weight(self) -> tuple[Tensor, list[Tensor]]:
        """The quantized weight of the pass under way, and where the backward of its calls may keep what they share."""
        quantizer, weight = self.held.weight, self.weight
        if quantizer is None:
            return weight, []
        made_of = (torch.is_grad_enabled(), *versions(weight, *quantizer.parameters(), *quantizer.buffers()))
        if not self.pass_weight or self.made_of != made_of:
            self.pass_weight, self.made_of = (quantizer(weight), []), made_of
        shared = self.pass_weight
        if self.call == 0:
            self.pass_weight = ()
        return shared
