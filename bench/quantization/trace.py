"""Which tensor feeds which layer, from one recorded forward pass. mmdet's models do not survive fx tracing."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Read(NamedTuple):
    """One call of a layer: the k-th of that module in the pass, and the tensor it read."""

    module: str
    call: int
    tensor: int
    """Equal numbers mean the same values: one tensor object, not written to in between."""
    producer: str
    """Name of the operation that made the tensor's values; `parameter` or `input` where none did."""


MOVES = frozenset({"__getitem__", "cat", "chunk", "clone", "contiguous", "dropout", "expand", "flatten", "permute",
                   "reshape", "split", "squeeze", "stack", "to", "transpose", "unflatten", "unsqueeze",
                   "view"})  # fmt: skip
"""Operations that only move values: what they make was made by what made their operands, where that is one thing."""

NON_NEGATIVE = frozenset({"relu", "relu6", "max_pool2d"})
"""Pooling keeps signs: of what these made it makes values without sign, and of anything else it only moves them."""


class _Producers(TorchFunctionMode):
    """Remembers the operation behind each tensor, and keeps all of them alive so that no id is used twice."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, int], str] = {}
        self.alive: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = _operation(func, kwargs or {})
        operands = list(tensors((args, kwargs)))
        if name in MOVES or (name == "max_pool2d" and self.of(operands[0]) not in NON_NEGATIVE):
            sources = {self.of(tensor) for tensor in operands}
            name = sources.pop() if len(sources) == 1 else name
        versions = [tensor._version for tensor in operands]
        result = func(*args, **(kwargs or {}))
        # An assignment to a part of a tensor changes it and returns nothing.
        changed = [t for t, version in zip(operands, versions, strict=True) if t._version != version]
        for tensor in (*changed, *tensors(result)):
            self.alive.append(tensor)
            self.made[id(tensor), tensor._version] = name
        return result

    def of(self, tensor: Tensor) -> str:
        unmade = "parameter" if isinstance(tensor, nn.Parameter) else "input"
        return self.made.get((id(tensor), tensor._version), unmade)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def _operation(func: Any, options: dict[str, Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    # F.max_pool2d is a dispatcher whose own name says nothing; torch's ReLU6 is a hardtanh from 0.
    if func is torch.nn.functional.max_pool2d:
        return "max_pool2d"
    if name == "hardtanh" and options.get("min_val") == 0:
        return "relu6"
    return name if name.endswith("__") else name.removesuffix("_")


@torch.no_grad()
def record_reads(model: nn.Module, layers: Collection[str], forward: Callable[[], Any]) -> list[Read]:
    """Run `forward` once and list every call of the model's modules of those names, in order."""
    producers = _Producers()
    reads: list[Read] = []
    calls: dict[str, int] = {}
    tensors: dict[tuple[int, int], int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            x = args[0]
            producers.alive.append(x)
            key = (id(x), x._version)
            call = calls.get(name, 0)
            calls[name] = call + 1
            reads.append(Read(name, call, tensors.setdefault(key, len(tensors)), producers.of(x)))

        return hook

    hooks = [model.get_submodule(name).register_forward_pre_hook(watch(name)) for name in layers]
    try:
        with producers:
            forward()
    finally:
        for handle in hooks:
            handle.remove()
    return reads
