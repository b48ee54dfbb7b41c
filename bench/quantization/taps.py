"""Quantizers outside of layers (`readers: all`): behind a module, or at an operand of an operation."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.quantization.calls import Counted
from bench.quantization.quantizer import Quantizer
from bench.quantization.trace import Operand, operation_name, tensors

Chosen = dict[tuple[int, str, int], dict[int, Quantizer]]
"""By the module's call, the operation and its number in it: the quantizers of its operands, by position."""


class Tapped(NamedTuple):
    """An operand and the quantizer that it goes through."""

    operand: Operand
    quantizer: Quantizer


def tap_output(module: nn.Module, quantizer: Quantizer) -> None:
    """Quantize what `module` returns."""
    module.register_forward_hook(_Behind(quantizer))


def tap_operands(module: nn.Module, taps: Iterable[Tapped], calls: int) -> Counted:
    """Quantize these operands of operations that run in the forward of `module` itself, `calls` times in a pass.

    Returns what counts the calls, to be set right by `begin_passes`.
    """
    chosen: Chosen = {}
    for operand, quantizer in taps:
        at = (operand.call, operand.operation, operand.nth_within)
        chosen.setdefault(at, {})[operand.position] = quantizer
    within = _Within(module, chosen, module.__dict__.get("forward"), calls)
    # By its forward: some of mmdet's modules are run without their hooks.
    module.__dict__["forward"] = within
    return within


def counts_operations(module: nn.Module) -> bool:
    """Whether operands of operations in its forward are quantized: those of its children are counted as well."""
    return isinstance(module.__dict__.get("forward"), _Within)


def tapped_within(module: nn.Module) -> Iterator[Quantizer]:
    """The quantizers outside of layers that run in the forward of `module`; one behind it does not."""
    for child in module.modules():
        within = child.__dict__.get("forward")
        if isinstance(within, _Within):
            yield from (quantizer for operands in within.taps.values() for quantizer in operands.values())
        if child is not module:
            yield from (hook.quantizer for hook in child._forward_hooks.values() if isinstance(hook, _Behind))


class _Behind:
    """A hook. In an object, so that a copy of the model has the quantizer of the copy."""

    def __init__(self, quantizer: Quantizer) -> None:
        self.quantizer = quantizer

    def __call__(self, module: nn.Module, _: Any, output: Tensor) -> Tensor:
        quantized: Tensor = self.quantizer(output)
        return quantized


class _Within(Counted):
    """The forward of a module whose operations read quantized tensors."""

    def __init__(self, module: nn.Module, taps: Chosen, inner: Callable[..., Any] | None, calls: int) -> None:
        self.module, self.taps, self.inner = module, taps, inner
        self.count_calls(calls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _Operations(self.taps, self.next_call()):
            if self.inner is not None:
                return self.inner(*args, **kwargs)
            return type(self.module).forward(self.module, *args, **kwargs)


class _Operations(TorchFunctionMode):
    """Counts operations as the recorded pass did (`bench.quantization.trace`), and quantizes the chosen operands."""

    def __init__(self, taps: Chosen, call: int) -> None:
        super().__init__()
        self.taps, self.call = taps, call
        self.names = {name for _, name, _ in taps}
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        name = operation_name(func, named)
        if name not in self.names:
            return func(*args, **named)
        chosen = self.taps.get((self.call, name, self.counts[name]))
        if chosen is not None:
            args, named = _replaced((args, named), chosen, Counter())
        result = func(*args, **named)
        # As in the recorded pass: what returns no tensor is none of the operations that are counted.
        self.counts[name] += next(tensors(result), None) is not None
        return result


def _replaced(value: Any, chosen: dict[int, Quantizer], seen: "Counter[str]") -> Any:
    """The same nest of tuples, lists and dictionaries with the chosen of its tensors quantized."""
    if isinstance(value, Tensor):
        position = seen["tensors"]
        seen["tensors"] += 1
        return chosen[position](value) if position in chosen else value
    if isinstance(value, tuple | list):
        return type(value)(_replaced(part, chosen, seen) for part in value)
    if isinstance(value, dict):
        return {key: _replaced(part, chosen, seen) for key, part in value.items()}
    return value
