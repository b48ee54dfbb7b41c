"""Which tensor feeds which layer, from one recorded forward pass. mmdet's models do not survive fx tracing."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class Read(NamedTuple):
    """One call of a layer: the k-th of that module in the pass, and the tensor it read."""

    module: str
    call: int
    tensor: int
    """Equal numbers mean the same values: one tensor object, not written to in between."""
    producer: str
    """Name of the operation that made the tensor's values; `parameter` or `input` where none did, and `unknown` where
    nothing is known about them."""
    shape: tuple[int, ...] = ()
    """Of the tensor, its batch dimension included."""
    within: tuple[str, ...] = ()
    """The modules that were running, the outermost first, of those that the pass ran once; the model itself is ''."""


MOVES = frozenset({"__getitem__", "cat", "chunk", "clone", "contiguous", "dropout", "expand", "flatten", "permute",
                   "reshape", "split", "squeeze", "stack", "to", "transpose", "unflatten", "unsqueeze",
                   "view"})  # fmt: skip
"""Operations that only move values: what they make was made by what made their operands, where that is one thing. Every
view is one of them, whatever its name."""

NON_NEGATIVE = frozenset({"relu", "relu6", "max_pool2d"})
"""Pooling keeps signs: of what these made it makes values without sign, and of anything else it only moves them."""

UNKNOWN = "unknown"


class _Writes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the writes to each storage. It sees those that no tensor's version shows: through `.data`, by `out=`, in
    an autograd.Function, in an operator of somebody's own."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        result = func(*args, **named)
        for k, declared in enumerate(func._schema.arguments):
            if declared.alias_info is not None and declared.alias_info.is_write:
                value = args[k] if k < len(args) else named.get(declared.name)
                self.counts.update({_storage(tensor) for tensor in tensors(value)})
        return result


class _Producers(TorchFunctionMode):
    """Remembers the operation behind each tensor, and keeps all of them alive so that no id is used twice."""

    def __init__(self, writes: _Writes) -> None:
        super().__init__()
        self.writes = writes
        self.made: dict[tuple[int, int, int], str] = {}
        self.alive: list[Any] = []
        self.inputs: list[tuple[Tensor, Tensor]] = []
        """The model's, and copies of them: no count shows who writes past torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = list(tensors((args, kwargs)))
        sources = [self.of(tensor) for tensor in operands]
        before = [self.key(tensor) for tensor in operands]
        result = func(*args, **(kwargs or {}))
        name = _name(_operation(func, kwargs or {}), sources)
        # An assignment to a part of a tensor changes it and returns nothing.
        changed = [t for t, key in zip(operands, before, strict=True) if self.key(t) != key]
        unchanged = {_storage(t): source for t, source in zip(operands, sources, strict=True) if self.key(t) in before}
        for tensor in changed:
            self.keep(tensor, name)
        for tensor in tensors(result):
            self.keep(tensor, unchanged.get(_storage(tensor), name))
        return result

    def keep(self, tensor: Tensor, producer: str) -> None:
        self.alive.append(tensor)
        self.made[self.key(tensor)] = producer

    def key(self, tensor: Tensor) -> tuple[int, int, int]:
        """Differs where the values may: another object, another storage, or one that was written to."""
        storage = _storage(tensor)
        return id(tensor), storage, self.writes.counts[storage]

    def start(self, inputs: Iterator[Tensor]) -> None:
        """Take the model's inputs."""
        for tensor in inputs:
            self.keep(tensor, "input")
            self.inputs.append((tensor, tensor.clone()))

    def of(self, tensor: Tensor) -> str:
        unmade = "parameter" if isinstance(tensor, nn.Parameter) else UNKNOWN
        return self.made.get(self.key(tensor), unmade)

    def of_read(self, tensor: Tensor) -> str:
        """As `of`; an input counts as one only as long as its values are what they were."""
        producer = self.of(tensor)
        if producer == "input" and not all(torch.equal(now, then) for now, then in self.inputs):
            return UNKNOWN
        return producer


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # a sparse tensor has none
        return id(tensor)


def _name(operation: str, sources: list[str]) -> str:
    """What made the result of `operation`, given what made its operands."""
    # An index moves values; it makes none.
    of_values = sources[:1] if operation == "__getitem__" else sources
    moves = operation in MOVES or (operation == "max_pool2d" and sources[0] not in NON_NEGATIVE)
    return of_values[0] if moves and len(set(of_values)) == 1 else operation


def _operation(func: Any, options: dict[str, Any]) -> str:
    if isinstance(func, OpOverload | OpOverloadPacket):
        packet = func.overloadpacket if isinstance(func, OpOverload) else func
        space, _, name = packet._qualified_op_name.partition("::")
        # An operator of somebody's own may be called `relu` and be none.
        return name.removesuffix("_") if space == "aten" else packet._qualified_op_name
    name = getattr(func, "__name__", type(func).__name__)
    # F.max_pool2d is a dispatcher whose own name says nothing; torch's ReLU6 is a hardtanh from 0.
    if func is torch.nn.functional.max_pool2d:
        return "max_pool2d"
    if name == "hardtanh" and options.get("min_val") == 0:
        return "relu6"
    return name if name.endswith("__") else name.removesuffix("_")


class _Recording:
    """What is known while the pass runs."""

    def __init__(self, layers: Collection[str]) -> None:
        self.layers = frozenset(layers)
        self.producers = _Producers(_Writes())
        self.reads: list[Read] = []
        self.running: list[str] = []
        self.entered: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.numbers: dict[tuple[int, int, int], int] = {}

    def around(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The forward of the module `name` so that it is noticed."""

        def noticed(*args: Any, **kwargs: Any) -> Any:
            if not self.entered:
                self.producers.start(tensors((args, kwargs)))
            if name in self.layers:
                self.read(name, next(tensors((args, kwargs))))
            self.entered[name] += 1
            self.running.append(name)
            try:
                return forward(*args, **kwargs)
            finally:
                self.running.pop()

        return noticed

    def read(self, name: str, x: Tensor) -> None:
        self.producers.alive.append(x)
        number = self.numbers.setdefault(self.producers.key(x), len(self.numbers))
        producer, within = self.producers.of_read(x), tuple(self.running)
        self.reads.append(Read(name, self.calls[name], number, producer, tuple(x.shape), within))
        self.calls[name] += 1


@torch.no_grad()
def record_reads(model: nn.Module, layers: Collection[str], forward: Callable[[], Any]) -> list[Read]:
    """Run `forward` once and list every call of the model's modules of those names, in order.

    The model's input is what the first module that runs is given.
    """
    recording = _Recording(layers)
    with _noticed(model, recording), recording.producers.writes, recording.producers:
        forward()
    once = {name for name, times in recording.entered.items() if times == 1}
    return [read._replace(within=tuple(n for n in read.within if n in once)) for read in recording.reads]


@contextmanager
def _noticed(model: nn.Module, recording: _Recording) -> Iterator[None]:
    """Let every module of `model` tell when it runs. By its forward, since some of mmdet's are run without their hooks:
    a detector's `tensor` mode calls `bbox_head.forward`."""
    modules = dict(model.named_modules())
    own = {name: module.__dict__["forward"] for name, module in modules.items() if "forward" in module.__dict__}
    for name, module in modules.items():
        module.__dict__["forward"] = recording.around(name, module.forward)
    try:
        yield
    finally:
        for name, module in modules.items():
            del module.__dict__["forward"]
            if name in own:
                module.__dict__["forward"] = own[name]
