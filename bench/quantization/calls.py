"""Which call of a pass is under way, for layers that do something else at each: a quantizer, or a norm, for every
level of a shared head."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn


class Counted:
    """Mixin of such a layer. After the last call of a pass the first one is next, whoever makes it: so a part of the
    model may be called alone, and the model again, in the middle of a training step.

    Where a call broke off, `begin_passes` sets the number right with the next pass. Between `start_pass` and the last
    call, or `end_pass`, the layer may keep what it needs at every call.
    """

    calls: int
    call: int
    pass_of: object | None

    def count_calls(self, calls: int) -> None:
        """Expect that many calls in one pass."""
        self.calls, self.call, self.pass_of = calls, 0, None

    def next_call(self) -> int:
        """The number of this call in its pass, from 0."""
        call = self.call
        # Not through `setattr` of nn.Module, which looks for parameters first.
        self.__dict__["call"] = call + 1 if call + 1 < self.calls else 0
        return call

    def start_pass(self, owner: object = "caller", call: int = 0) -> None:
        """`owner` starts a pass here, with this call."""
        self.__dict__["call"], self.__dict__["pass_of"] = call, owner
        self.forget()

    def end_pass(self) -> None:
        """Nothing is kept from now on."""
        self.__dict__["pass_of"] = None
        self.forget()

    def forget(self) -> None:
        """Drop what is kept for the pass under way."""


def begin_passes(model: nn.Module, firsts: Mapping[nn.Module, Iterable[tuple[Counted, int]]]) -> None:
    """Let each pass of `model`, and of each module of `firsts` within it, begin anew with these calls of these layers.

    Args:
        model: the whole model; a pass of it is never part of another one.
        firsts: for each module the layers that run in it, and the number of the first call that they have there.
    """
    for module, layers in firsts.items():
        hooks = _Pass(tuple(layers), outermost=module is model)
        module.register_forward_pre_hook(hooks.start)
        # Also where the pass breaks off.
        module.register_forward_hook(hooks.end, always_call=True)


class _Pass:
    """Two hooks. They know the layers, since finding them takes a hundredth of a step; a copy knows those of its model.

    A part that runs within a pass of the model only sets the numbers: what the layers keep lives as long as the pass.
    """

    def __init__(self, layers: tuple[tuple[Counted, int], ...], outermost: bool) -> None:
        self.layers, self.outermost = layers, outermost

    def start(self, *_: Any) -> None:
        for layer, call in self.layers:
            if self.outermost or layer.pass_of in (None, self):
                layer.start_pass(self, call)
            else:
                layer.__dict__["call"] = call

    def end(self, *_: Any) -> None:
        for layer, _call in self.layers:
            if layer.pass_of is self:
                layer.end_pass()
