"""What quantized layers share: their quantizers, and which call of a pass is under way."""

from typing import NamedTuple

from torch import Tensor, nn

from bench.quantization.quantizer import Quantizer


class Held(NamedTuple):
    """A layer's quantizers, outside its children: one that many layers share is the child of none of them."""

    weight: Quantizer
    inputs: tuple[Quantizer, ...]
    """By the number of the layer's call in one pass: one per pyramid level in a shared head."""


class QuantLayer(nn.Module):
    """Base of the quantized layers; `hold` is called once, before the first pass."""

    weight: Tensor
    held: Held
    call: int
    pass_weight: tuple[Tensor, ...]
    """The quantized weight of the pass under way; in a tuple, since a module takes a bare one for a parameter."""

    def hold(self, held: Held) -> None:
        """Take the quantizers."""
        self.held, self.call, self.pass_weight = held, 0, ()

    def start_pass(self) -> None:
        """The next call is the first of a pass, whatever became of the one before."""
        self.__dict__["call"] = 0
        if self.pass_weight:
            self.pass_weight = ()

    def next_input(self) -> Quantizer:
        """The quantizer of the input of this call."""
        call = self.call
        # Not through `setattr` of nn.Module, which looks for parameters first.
        self.__dict__["call"] = call + 1
        return self.held.inputs[call]

    def quantized_weight(self) -> Tensor:
        """The quantized weight, made once for all calls of a pass; asked for after `next_input`."""
        if not self.pass_weight:
            self.pass_weight = (self.held.weight(self.weight),)
        weight = self.pass_weight[0]
        if self.call == len(self.held.inputs):
            self.pass_weight = ()
        return weight
