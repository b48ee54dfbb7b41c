"""Passes over the same batches under changing quantizers, which compute only what a change reaches.

A quantized layer whose input, quantizers and number of the call are the same to the bit as in a pass that was kept
returns what it returned there. So a change of one quantizer costs the layers behind it that read something else, and
nothing of other branches. What lies between the layers (norms, activations, additions) always runs. Nothing hangs on
how the model is written, and the outputs are those of a whole pass to the bit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction

from bench.calibration.batches import Batches, Mode
from bench.quantization.apply import quantized_layers
from bench.quantization.layer import QuantLayer
from bench.quantization.quantizer import Quantizer

KEPT_BYTES = 2 * 2**30
"""Memory for kept tensors. Where they are more, the layers with the most arithmetic a byte are kept."""

_Call = tuple[QuantLayer, int]
"""A layer and the number of its call in a pass."""


_State = tuple[Any, ...]
"""All that a layer's quantizers hold."""


class _Kept(NamedTuple):
    """A call of a layer: what it was made of and what came of it."""

    state: _State
    x: Tensor
    version: int
    """Of x, which others may have changed in place since."""
    y: Tensor


class Replay:
    """The passes of one model; use it as a context, in which nothing but its quantizers may change."""

    def __init__(self, model: nn.Module, batches: Batches, room: int = KEPT_BYTES) -> None:
        """`room`: bytes."""
        self.layers, self.batches, self.room = list(quantized_layers(model).values()), batches, room
        self.computed = 0
        """Multiply-adds of quantized layers so far,"""
        self.whole: dict[int, int] = {}
        """and those of one whole pass over a batch, by its number."""
        self._kept: dict[tuple[int, _Call], _Kept] = {}
        self._costs: dict[_Call, tuple[int, int]] = {}
        self._worth: frozenset[_Call] = frozenset()
        self._batch, self._keeping, self._sum = 0, False, 0

    def __enter__(self) -> "Replay":
        for layer in self.layers:
            layer.__dict__["forward"] = self._remembering(layer)
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.clear()
        for layer in self.layers:
            del layer.__dict__["forward"]

    @torch.no_grad()
    def run(self, batch: int, mode: Mode = "tensor", keep: bool = False, share: int = 1) -> Any:
        """The outputs or losses of a batch.

        Args:
            batch: its number.
            mode: as a batch is called.
            keep: whether later passes over it may take from this one; of a batch it is the last such pass that counts.
            share: how many batches are kept; each has its share of the room.
        """
        self._batch, self._keeping, self._sum = batch, keep, 0
        if keep:
            if not self._costs:
                self.batches[batch](mode)
                self._sum = 0
            self._worth = self._plan(self.room // share)
        found = self.batches[batch](mode)
        self.whole[batch] = self._sum
        return found

    @property
    def passes(self) -> float:
        """Arithmetic so far over that of one pass over all batches seen."""
        return self.computed / max(1, sum(self.whole.values()))

    def _remembering(self, layer: QuantLayer) -> Callable[[Tensor], Tensor]:
        plain = layer.forward

        def forward(x: Tensor) -> Tensor:
            call: _Call = (layer, layer.call)
            # Whoever counts a model's operations must not see those of this room.
            with DisableTorchFunction():
                state, y = self._recall(call, x)
            if y is not None:
                layer.next_call()
                return y
            y = cast(Tensor, plain(x))
            with DisableTorchFunction():
                self._note(call, state, x, y)
            return y

        return forward

    def _recall(self, call: _Call, x: Tensor) -> tuple[_State | None, Tensor | None]:
        """The layer's state, if it is asked for, and the kept output, if it is still that of x."""
        kept = self._kept.get((self._batch, call))
        state = _state(*call) if kept is not None or self._keeps(call) else None
        if kept is None or kept.state != state or not _unchanged(kept, x):
            return state, None
        self._sum += self._costs[call][1]
        return state, kept.y.clone()

    def _note(self, call: _Call, state: _State | None, x: Tensor, y: Tensor) -> None:
        """Count what was computed, and keep it if it is to be kept."""
        # Of a convolution and a linear layer alike: each output value is a sum of as many products.
        cost = y.numel() * call[0].weight[0].numel()
        self.computed, self._sum = self.computed + cost, self._sum + cost
        self._costs[call] = (x.nbytes + y.nbytes, cost)
        if state is not None and self._keeps(call):
            # What follows may change y in place.
            self._kept[self._batch, call] = _Kept(state, x, x._version, y.clone())

    def _keeps(self, call: _Call) -> bool:
        return self._keeping and call in self._worth

    def _plan(self, room: int) -> frozenset[_Call]:
        """The calls that are kept, those with the most arithmetic a byte first."""
        chosen = []
        for call, (size, _) in sorted(self._costs.items(), key=lambda item: item[1][0] / max(1, item[1][1])):
            room -= size
            if room >= 0:
                chosen.append(call)
        return frozenset(chosen)


def _state(layer: QuantLayer, call: int) -> _State:
    quantizers = (layer.held.weight, layer.held.inputs[call])
    return tuple(_of_quantizer(quantizer) for quantizer in quantizers if quantizer is not None)


def _of_quantizer(quantizer: Quantizer) -> tuple[Any, ...]:
    return quantizer.mode, *(value.cpu().numpy().tobytes() for value in quantizer.state_dict().values())


def _unchanged(kept: _Kept, x: Tensor) -> bool:
    if kept.x._version != kept.version:
        return False
    return kept.x is x or (_form(kept.x) == _form(x) and torch.equal(_bits(kept.x), _bits(x)))


def _form(x: Tensor) -> tuple[Any, ...]:
    """Shape and layout: a convolution may add up another layout in another order."""
    return x.dtype, x.shape, x.stride()


def _bits(x: Tensor) -> Tensor:
    """As integers: zeros of two signs differ, and NaN equals itself."""
    return x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])
