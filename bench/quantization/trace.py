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
    time: int = 0
    """Events of one pass are numbered in their order."""


class Operand(NamedTuple):
    """One reading of a tensor by an operation outside of the layers: `add#0@backbone.layer1.0[1]`."""

    operation: str
    """Without underscores, and in place or not: `add` for `+`, `+=` and `torch.add`."""
    nth: int
    """Among the module's own operations of that name."""
    module: str
    """The innermost one that was running."""
    nth_within: int
    """As `nth`, with the operations of its children."""
    call: int
    """Of the module, in the pass; an operation is numbered within one call."""
    position: int
    """Among the tensors that the operation was given."""
    tensor: int
    time: int

    def __str__(self) -> str:
        call = f"#{self.call}" if self.call else ""
        return f"{self.operation}#{self.nth}@{self.module}{call}[{self.position}]"


class Output(NamedTuple):
    """A tensor that a module returned, alone."""

    module: str
    call: int
    tensor: int
    time: int


class Recorded(NamedTuple):
    """What one pass shows."""

    reads: list[Read]
    operands: list[Operand]
    """Of all tensors, also of those that no layer reads."""
    outputs: list[Output]
    calls: dict[str, int]
    """By module how often the pass ran it."""
    makers: dict[int, str]
    """By a tensor's number what made it: a module without children and its call, `backbone.layer1.0.relu#1`, or an
    operation of one that has some, `add#0@neck`; `image` for the model's input."""


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

    def __init__(self, writes: _Writes, notice: Callable[..., None]) -> None:
        super().__init__()
        self.writes, self.notice = writes, notice
        self.made: dict[tuple[int, int, int], str] = {}
        self.alive: list[Any] = []
        self.inputs: list[tuple[Tensor, Tensor]] = []
        """The model's, and copies of them: no count shows who writes past torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = list(tensors((args, kwargs)))
        sources = [self.of(tensor) for tensor in operands]
        before = [self.key(tensor) for tensor in operands]
        result = func(*args, **(kwargs or {}))
        self.notice(operation_name(func, kwargs or {}), operands, before, result)
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


def operation_name(func: Any, options: dict[str, Any]) -> str:
    """The operation in a reader's words: `add` for `+`, `+=` and `torch.add`."""
    name = _operation(func, options)
    if name.startswith("__") and name.endswith("__"):
        name = name.strip("_")
        name = name[1:] if name[:1] in ("i", "r") and name[1:] in _OPERATORS else name
    return name


_OPERATORS = frozenset({"add", "sub", "mul", "truediv", "floordiv", "matmul", "pow", "mod", "and", "or", "xor"})


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

    def __init__(self, layers: Collection[str], leaves: frozenset[str]) -> None:
        self.layers = frozenset(layers)
        self.producers = _Producers(_Writes(), self.operated)
        self.reads: list[Read] = []
        self.operands: list[Operand] = []
        self.outputs: list[Output] = []
        self.makers: dict[int, str] = {}
        self.leaves = leaves
        self.running: list[str] = []
        self.operations: list[tuple[Counter[str], Counter[str]]] = []
        """Of each running module how often it ran an operation itself, and with its children."""
        self.entered: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.numbers: dict[tuple[int, int, int], int] = {}
        self.time = 0

    def around(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The forward of the module `name` so that it is noticed."""

        def noticed(*args: Any, **kwargs: Any) -> Any:
            if not self.entered:
                self.producers.start(tensors((args, kwargs)))
                for tensor in tensors((args, kwargs)):
                    self.makers[self.number(self.producers.key(tensor))] = "image"
            if name in self.layers:
                self.read(name, next(tensors((args, kwargs))))
            call = self.entered[name]
            self.entered[name] += 1
            self.running.append(name)
            self.operations.append((Counter(), Counter()))
            try:
                result = forward(*args, **kwargs)
            finally:
                self.running.pop()
                self.operations.pop()
            if isinstance(result, Tensor):
                self.producers.alive.append(result)
                number = self.number(self.producers.key(result))
                self.outputs.append(Output(name, call, number, self.tick()))
                if name in self.leaves:
                    self.makers.setdefault(number, f"{name}#{call}")
            return result

        return noticed

    def read(self, name: str, x: Tensor) -> None:
        self.producers.alive.append(x)
        number = self.number(self.producers.key(x))
        producer, within = self.producers.of_read(x), tuple(self.running)
        self.reads.append(Read(name, self.calls[name], number, producer, tuple(x.shape), within, self.tick()))
        self.calls[name] += 1

    def operated(self, operation: str, operands: list[Tensor], keys: list[tuple[int, int, int]], result: Any) -> None:
        """Take note of an operation; one that returns no tensor, such as a look at a shape, reads no values."""
        made = list(tensors(result))
        if not made or not self.running or self.running[-1] in self.layers:
            return
        module, (own, whole) = self.running[-1], self.operations[-1]
        where = (operation, own[operation], module, whole[operation], self.entered[module] - 1)
        own[operation] += 1
        for _, counter in self.operations:
            counter[operation] += 1
        time = self.tick()
        self.operands += [Operand(*where, k, self.number(key), time) for k, key in enumerate(keys)]
        for tensor in made if module not in self.leaves else ():
            self.makers.setdefault(self.number(self.producers.key(tensor)), f"{operation}#{where[1]}@{module}")

    def number(self, key: tuple[int, int, int]) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

    def tick(self) -> int:
        self.time += 1
        return self.time


@torch.no_grad()
def record_reads(model: nn.Module, layers: Collection[str], forward: Callable[[], Any]) -> Recorded:
    """Run `forward` once and list every call of the model's modules of those names, in order, and what else read and
    made tensors.

    The model's input is what the first module that runs is given.
    """
    leaves = frozenset(name for name, module in model.named_modules() if next(module.children(), None) is None)
    recording = _Recording(layers, leaves)
    with _noticed(model, recording), recording.producers.writes, recording.producers:
        forward()
    calls = dict(recording.entered)
    reads = [read._replace(within=tuple(n for n in read.within if calls[n] == 1)) for read in recording.reads]
    return Recorded(reads, recording.operands, recording.outputs, calls, recording.makers)


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
