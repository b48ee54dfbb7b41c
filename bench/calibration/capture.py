"""What goes into a unit and comes out of it, image by image, from passes that end behind it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.calibration.units import Unit
from bench.quantization.layer import QuantLayer
from bench.quantization.quantizer import Quantizer

Calls = list[Tensor]
"""A tensor [1, ...] for each call of the unit, in main memory."""


class Seen(NamedTuple):
    """Of one image."""

    inputs: Calls
    outputs: Calls


class _Enough(Exception):  # noqa: N818
    """The unit has been called for the last time; what lies behind it need not run."""


@torch.no_grad()
def capture(unit: Unit, forwards: Iterable[Callable[[], Any]]) -> list[Seen]:
    """What the unit is given and returns, image by image.

    A batch whose tensors do not all have the same first dimension counts as one image.
    """
    return [seen for forward in forwards for seen in _by_image(_pass(unit, forward))]


@contextmanager
def full_precision(model: nn.Module, weights: Mapping[QuantLayer, Tensor]) -> Iterator[None]:
    """The model as it was: without quantizers, and with these weights."""
    quantizers = {module: module.mode for module in model.modules() if isinstance(module, Quantizer)}
    baked = {layer: layer.weight.data for layer in weights}
    try:
        for quantizer in quantizers:
            quantizer.mode = "off"
        for layer, weight in weights.items():
            layer.weight.data = weight
        yield
    finally:
        for quantizer, mode in quantizers.items():
            quantizer.mode = mode
        for layer, weight in baked.items():
            layer.weight.data = weight


def _pass(unit: Unit, forward: Callable[[], Any]) -> Seen:
    seen = Seen([], [])

    # Copies, since what follows may write in place.
    def before(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen.inputs.append(args[0].detach().clone().cpu())

    def after(_: nn.Module, args: Any, output: Tensor) -> None:
        seen.outputs.append(output.detach().clone().cpu())
        if len(seen.outputs) == unit.calls:
            raise _Enough

    hooks = [unit.module.register_forward_pre_hook(before), unit.module.register_forward_hook(after)]
    try:
        forward()
    except _Enough:
        pass
    finally:
        for handle in hooks:
            handle.remove()
    return seen


def _by_image(whole: Seen) -> list[Seen]:
    sizes = {tensor.shape[0] for tensor in (*whole.inputs, *whole.outputs)}
    if len(sizes) != 1:
        return [whole]
    split = [[t[i : i + 1] for t in whole.inputs] for i in range(sizes.pop())]
    return [Seen(inputs, [t[i : i + 1] for t in whole.outputs]) for i, inputs in enumerate(split)]
