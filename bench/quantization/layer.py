"""What quantized layers share: their quantizers, and which of them a call needs."""

from typing import NamedTuple

from torch import Tensor, nn

from bench.quantization.calls import Counted
from bench.quantization.quantizer import Quantizer


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
    pass_weight: tuple[Tensor, ...]
    """The quantized weight of the pass under way; in a tuple, since a module takes a bare one for a parameter."""

    def hold(self, held: Held) -> None:
        """Take the quantizers."""
        self.held, self.pass_weight = held, ()
        self.count_calls(len(held.inputs))

    def forget(self) -> None:
        """Quantize the weight anew with the next call."""
        if self.pass_weight:
            self.pass_weight = ()

    def next_input(self) -> Quantizer | None:
        """The quantizer of the input of this call; None where it is read in FP."""
        return self.held.inputs[self.next_call()]

    def quantized_weight(self) -> Tensor:
        """The weight as the layer uses it, made once for all calls of a pass; asked for after `next_input`."""
        quantizer = self.held.weight
        if quantizer is None:
            return self.weight
        if self.calls == 1 or self.pass_of is None:
            return quantizer(self.weight)  # type: ignore[no-any-return]
        if not self.pass_weight:
            self.pass_weight = (quantizer(self.weight),)
        weight = self.pass_weight[0]
        if self.call == 0:
            self.pass_weight = ()
        return weight
