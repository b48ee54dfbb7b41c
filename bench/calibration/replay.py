"""Passes over the same batches under changing quantizers, which compute only what a change reaches.

A module with quantized layers (a layer, a block, a backbone) whose inputs, quantizers and biases are the same as in a
pass that was kept returns what it returned there. So a change of one quantizer costs the layers behind it that read
something else, and nothing of what lies before it or on other branches. Nothing hangs on how the model is written, and
the outputs are those of a whole pass to the bit.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction

from bench.calibration.batches import Batches, Mode
from bench.quantization.apply import quantized_layers
from bench.quantization.calls import Counted
from bench.quantization.layer import QuantLayer
from bench.quantization.quantizer import Quantizer
from bench.quantization.taps import counts_operations, tapped_within

KEPT_BYTES = 5 * 2**28
"""Memory for kept tensors, 1.25 GiB: with it a process takes less than 4 GB for RetinaNet-R18 and 32 images of 512 px.
Where they are more, the calls with the most arithmetic a byte are kept."""

_Changing = Quantizer | Tensor
"""What may change between passes: a quantizer, or a layer's bias."""
_State = tuple[Any, ...]
"""All that a quantizer holds; of a bias its version."""


class _Seen(NamedTuple):
    """A tensor, and its version then, since others may change it in place; or a number or text."""

    x: Any
    version: int


class _Part:
    """A module with quantized layers."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.plain, self.own = module, module.forward, module.__dict__.get("forward")
        self.is_layer = isinstance(module, QuantLayer)
        self.taps = () if self.is_layer else tuple(tapped_within(module))
        inner = [(child, child.__dict__.get("forward")) for child in module.modules()]
        counted = [one for pair in inner for one in pair if isinstance(one, Counted)]
        self.counted = [one for one in counted if self.is_layer or one.calls > 1]

    def made_of(self, numbers: tuple[int, ...]) -> tuple[_Changing | None, ...]:
        """What a call hangs on beside its inputs and the parts within it."""
        if not isinstance(self.module, QuantLayer):
            return self.taps
        held, bias = self.module.held, self.module.bias
        return held.weight, held.inputs[numbers[0]], bias if isinstance(bias, Tensor) else None

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the next calls of what counts its calls."""
        return tuple(one.call for one in self.counted)


_Call = tuple[_Part, tuple[int, ...]]
"""A part and its numbers when it is called, which no two of its calls in a pass share."""


class _Frame:
    """A call under way, and what turned out to run within it."""

    def __init__(self, made_of: Iterable[_Changing | None]) -> None:
        self.made_of = dict.fromkeys(one for one in made_of if one is not None)
        self.arithmetic = 0
        self.parts: list[_Call] = []

    def add(self, call: _Call, made_of: Iterable[_Changing], arithmetic: int) -> None:
        """A call within it has ended."""
        self.parts.append(call)
        self.made_of.update(dict.fromkeys(made_of))
        self.arithmetic += arithmetic


class _Kept(NamedTuple):
    """A call: what it was made of and what came of it."""

    states: dict[_Changing, _State]
    inputs: list[_Seen]
    outputs: Any
    made: list[_Seen]
    """The tensors of the outputs; none where `outputs` is a copy."""
    numbers: tuple[int, ...]
    """Of its part when it returned."""


class _Cost(NamedTuple):
    """Of a call."""

    size: int
    """Bytes of its inputs and outputs."""
    arithmetic: int
    """Multiply-adds of the layers within it."""


class Replay:
    """The passes of one model; use it as a context, in which nothing but its quantizers and biases may change."""

    def __init__(self, model: nn.Module, batches: Batches, room: int = KEPT_BYTES, layers_alone: bool = False) -> None:
        """
        Args:
            model: in evaluation mode.
            batches: what passes are over.
            room: bytes.
            layers_alone: no block is remembered, so that the hooks of all layers run in each pass.
        """
        self.batches, self.room = batches, room
        layers = set(quantized_layers(model).values())
        counting = [module for module in model.modules() if counts_operations(module)]
        # What lies within them must run, or they would count less.
        run = {model, *(child for module in counting for child in module.modules() if child is not module)}
        blocks = [m for m in model.modules() if m not in layers | run and layers & set(m.modules())]
        self.parts = [_Part(module) for module in (*layers, *([] if layers_alone else blocks))]
        self.computed = 0
        """Multiply-adds of quantized layers so far,"""
        self.whole: dict[int, int] = {}
        """and those of one whole pass over a batch, by its number."""
        self._kept: dict[tuple[int, _Call], _Kept] = {}
        self._costs: dict[_Call, _Cost] = {}
        self._repeated: set[_Call] = set()
        self._worth: frozenset[_Call] = frozenset()
        self._states: dict[_Changing, _State] = {}
        self._frames: list[_Frame] = []
        self._batch, self._keeping = 0, False

    def __enter__(self) -> "Replay":
        for part in self.parts:
            part.module.__dict__["forward"] = self._remembering(part)
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.clear()
        for part in self.parts:
            del part.module.__dict__["forward"]
            if part.own is not None:
                part.module.__dict__["forward"] = part.own

    @torch.no_grad()
    def run(self, batch: int, mode: Mode = "tensor", keep: bool = False, share: int = 1) -> Any:
        """The outputs or losses of a batch.

        Args:
            batch: its number.
            mode: as a batch is called.
            keep: whether later passes over it may take from this one; of a batch it is the last such pass that counts.
            share: how many batches are kept; each has its share of the room.
        """
        if keep and not self._costs:
            self._pass(batch, mode, keep=False)
        self._worth = self._plan(self.room // share) if keep else self._worth
        return self._pass(batch, mode, keep)

    @property
    def passes(self) -> float:
        """Arithmetic so far over that of one pass over all batches seen."""
        return self.computed / max(1, sum(self.whole.values()))

    def _pass(self, batch: int, mode: Mode, keep: bool) -> Any:
        self._batch, self._keeping, self._states = batch, keep, {}
        whole = _Frame(())
        self._frames = [whole]
        try:
            found = self.batches[batch](mode)
        finally:
            self._frames = []
        self.whole[batch] = whole.arithmetic
        return found

    def _remembering(self, part: _Part) -> Callable[..., Any]:
        def forward(*args: Any, **named: Any) -> Any:
            if not self._frames:  # a pass that is none of ours
                return part.plain(*args, **named)
            # Whoever counts a model's operations must not see those of this room.
            with DisableTorchFunction():
                call, inputs = (part, part.numbers), _seen([args, named])
                kept = None if inputs is None else self._recalled(call, inputs)
            if kept is not None:
                return kept
            self._frames.append(frame := _Frame(part.made_of(call[1])))
            outputs = part.plain(*args, **named)
            self._frames.pop()
            with DisableTorchFunction():
                self._note(call, frame, inputs, outputs)
            return outputs

        return forward

    def _recalled(self, call: _Call, inputs: list[_Seen]) -> Any:
        """The kept outputs, if they are still those of the inputs; else None."""
        kept = self._kept.get((self._batch, call))
        if kept is None or not _as_it_was(kept.made) or not all(self._state(q) == s for q, s in kept.states.items()):
            return None
        if len(inputs) != len(kept.inputs) or not all(map(_equal, inputs, kept.inputs)):
            return None
        for one, number in zip(call[0].counted, kept.numbers, strict=True):
            one.__dict__["call"] = number
        self._frames[-1].add(call, kept.states, self._costs[call].arithmetic)
        return kept.outputs.clone() if call[0].is_layer else kept.outputs

    def _note(self, call: _Call, frame: _Frame, inputs: list[_Seen] | None, outputs: Any) -> None:
        """Count what was computed, and keep it if it is to be kept."""
        made, part = _seen(outputs), call[0]
        if isinstance(part.module, QuantLayer):
            # Of a convolution and a linear layer alike: each output value is a sum of as many products.
            frame.arithmetic = outputs.numel() * part.module.weight[0].numel()
            self.computed += frame.arithmetic
        self._frames[-1].add(call, frame.made_of, frame.arithmetic)
        if inputs is None or made is None:
            return
        self._costs[call] = _Cost(sum(x.nbytes for x, _ in (*inputs, *made) if isinstance(x, Tensor)), frame.arithmetic)
        if len(frame.parts) == 1:
            # The only part within it would say the same.
            self._repeated.update(frame.parts)
        if self._keeping:
            self._kept.pop((self._batch, call), None)
        if self._keeping and call in self._worth:
            states = {one: self._state(one) for one in frame.made_of}
            # What follows a layer may change its output in place.
            copied, made = (outputs.clone(), []) if part.is_layer else (outputs, made)
            self._kept[self._batch, call] = _Kept(states, inputs, copied, made, part.numbers)

    def _plan(self, room: int) -> frozenset[_Call]:
        """The calls that are kept, those with the most arithmetic a byte first."""
        chosen = []
        costs = [(call, cost) for call, cost in self._costs.items() if call not in self._repeated]
        for call, cost in sorted(costs, key=lambda item: item[1].size / max(1, item[1].arithmetic)):
            room -= cost.size
            if room >= 0:
                chosen.append(call)
        return frozenset(chosen)

    def _state(self, one: _Changing) -> _State:
        """As it is in this pass."""
        if one not in self._states:
            self._states[one] = (one._version,) if isinstance(one, Tensor) else _of_quantizer(one)
        return self._states[one]


def _of_quantizer(quantizer: Quantizer) -> _State:
    return quantizer.mode, *(value.cpu().numpy().tobytes() for value in quantizer.state_dict().values())


def _seen(value: Any) -> list[_Seen] | None:
    """The leaves of nested tuples, lists and dictionaries; None where one is no tensor, number or text."""
    if isinstance(value, Tensor):
        return [_Seen(value, value._version)]
    if isinstance(value, tuple | list):
        parts = [_seen(part) for part in value]
        return None if None in parts else [seen for part in parts for seen in part or ()]
    if isinstance(value, dict):
        return _seen(list(value.items()))
    return [_Seen(value, 0)] if value is None or isinstance(value, bool | int | float | str) else None


def _as_it_was(seen: Iterable[_Seen]) -> bool:
    return all(x._version == version for x, version in seen if isinstance(x, Tensor))


def _equal(now: _Seen, kept: _Seen) -> bool:
    x, y = now.x, kept.x
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return type(x) is type(y) and bool(x == y)
    return _as_it_was([kept]) and (x is y or (_form(x) == _form(y) and torch.equal(_bits(x), _bits(y))))


def _form(x: Tensor) -> tuple[Any, ...]:
    """Shape and layout: a convolution may add up another layout in another order."""
    return x.dtype, x.shape, x.stride()


def _bits(x: Tensor) -> Tensor:
    """As integers: zeros of two signs differ, and NaN equals itself."""
    return x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])
