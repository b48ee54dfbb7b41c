"""Which tensor feeds which layer, from one recorded forward pass. mmdet's models do not survive fx tracing."""

from collections.abc import Callable
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
    """Name of the operation that made the tensor; `input` where none did."""


class _Producers(TorchFunctionMode):
    """Remembers the operation behind each tensor, and keeps all of them alive so that no id is used twice."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, int], str] = {}
        self.alive: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.alive.append(tensor)
                self.made[id(tensor), tensor._version] = _operation(func)
        return result


def _operation(func: Any) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    # F.max_pool2d is a dispatcher whose own name says nothing.
    return "max_pool2d" if func is torch.nn.functional.max_pool2d else name.removesuffix("_")


@torch.no_grad()
def record_reads(model: nn.Module, layers: tuple[type[nn.Module], ...], forward: Callable[[], Any]) -> list[Read]:
    """Run `forward` once and list every call of the model's modules of type `layers`, in order."""
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
            reads.append(Read(name, call, tensors.setdefault(key, len(tensors)), producers.made.get(key, "input")))

        return hook

    hooks = [m.register_forward_pre_hook(watch(n)) for n, m in model.named_modules() if isinstance(m, layers)]
    try:
        with producers:
            forward()
    finally:
        for handle in hooks:
            handle.remove()
    return reads
