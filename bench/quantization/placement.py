"""The policy of a suite and a recorded pass -> every quantizer of the model, before any is made (HQOD)."""

from collections import defaultdict
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from bench.errors import BenchError
from bench.quantization.attention import Projection
from bench.quantization.trace import Operand, Read, Recorded
from bench.schema.bits import FP, Bits
from bench.schema.placement import Pins, Policy


class WeightSite(NamedTuple):
    """The weight of one layer."""

    name: str
    module: str
    bits: int
    signed: bool
    shape: tuple[int, ...]
    """Of the weight: the output channels come first."""


POSITIVE = frozenset({"relu", "relu6"})
"""Operations whose results are never negative."""


class ActivationSite(NamedTuple):
    """One distinct tensor and every reader that gets it quantized. With `readers: layers` each part of the policy has
    its own."""

    name: str
    readers: tuple[tuple[str, int], ...]
    """(module, number of the call in one forward pass)."""
    producer: str
    bits: int
    signed: bool
    shape: tuple[int, ...] = ()
    """Of the tensor in the recorded pass. The batch comes first; it and the spatial sizes differ in other passes."""
    tensor: str = ""
    """What made it: a module and its call, `backbone.layer1.0.relu#1`, or an operation, `add#0@neck`."""
    operands: tuple[Operand, ...] = ()
    """Readers that are no layers, with `readers: all`."""
    tap: str | None = None
    """The module behind which it is quantized once for all readers; None: each reader quantizes it."""


class Calls(NamedTuple):
    """A layer that one pass calls several times."""

    module: str
    times: int
    firsts: tuple[tuple[str, int], ...]
    """(module that a pass runs once, number of the first call within it)."""


class Placement(NamedTuple):
    """All quantizers of a model, and the parameters that stay in FP. A side at 32 bits has no quantizer."""

    weights: tuple[WeightSite, ...]
    activations: tuple[ActivationSite, ...]
    fp: tuple[str, ...]
    calls: tuple[Calls, ...] = ()
    runs: Mapping[str, int] = {}
    """By module how often one pass runs it."""

    @property
    def sites(self) -> "tuple[WeightSite | ActivationSite, ...]":
        """All of them, weights first."""
        return (*self.weights, *self.activations)

    @property
    def doubt(self) -> str | None:
        """That every tensor has a sign although some are never negative: half of their levels are not used."""
        positive = sum(site.producer in POSITIVE for site in self.activations)
        if not positive or not all(site.signed for site in self.activations):
            return None
        return f"the policy gives all tensors a sign, also {positive} that are never negative; see `unsigned_after`"

    def depthwise(self, site: ActivationSite) -> bool:
        """Whether depthwise convolutions with a quantized weight are all that reads a tensor [n, c, h, w]."""
        weights = {weight.module: weight.shape for weight in self.weights}
        several = len(site.shape) == 4 and site.shape[1] > 1
        # A weight has the shape [out, in / groups, h, w].
        alone = all(weights.get(module, ())[1:2] == (1,) for module, _ in site.readers)
        return several and alone and not site.operands

    def pins(self, edge_bits: int) -> Pins:
        """The counts that a suite pins."""
        return Pins(
            weights=len(self.weights),
            activations=len(self.activations),
            edge=sum(site.bits == edge_bits for site in self.sites),
            unsigned=sum(not site.signed for site in self.activations),
        )


def quantizable(model: nn.Module, policy: Policy) -> dict[str, nn.Module]:
    """The layers of the policy's kinds, by name; one that stands at several places has the name of the first."""
    return {name: module for name, module in model.named_modules() if _kind(module) in policy.layers}


def _kind(module: nn.Module) -> str | None:
    if isinstance(module, Projection):
        return "attention"
    if isinstance(module, nn.Conv2d):
        return "conv"
    return "linear" if isinstance(module, nn.Linear) else None


def place(model: nn.Module, recorded: Recorded, policy: Policy, bits: Bits) -> Placement:
    """Decide where quantizers go.

    Raises BenchError where a pattern of the policy fits no layer, two of its `bits` claim one layer, a layer lies in
    none of the parts, or a bit width is not an integer.
    """
    names = list(quantizable(model, policy))
    for pattern in (*policy.first, *policy.last, *policy.keep, *(policy.keep_inputs or ())):
        if not any(fnmatchcase(name, pattern) for name in names):
            # A node of an ONNX file without the `graph.` before it, or a misspelt name.
            near = [n for n in names if n.endswith(f".{pattern}")] or get_close_matches(pattern, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BenchError(f"placement: the pattern {pattern!r} fits no layer of the model{hint}")
    reads = recorded.reads
    called = {read.module for read in reads}
    layers = _widths([n for n in names if n in called and not _fits(n, policy.keep)], policy, bits)
    weights = tuple(
        WeightSite(f"{n}.weight", n, widths.weight, True, _shape(model.get_submodule(n)))
        for n, widths in layers.items()
        if widths.weight < FP
    )
    activations = _activations(recorded, layers, policy)
    owned = {site.name for site in weights} | {f"{site.module}.parametrizations.weight.original" for site in weights}
    fp = tuple(name for name, _ in model.named_parameters() if name not in owned)
    quantized = {site.module for site in weights} | {module for site in activations for module, _ in site.readers}
    return Placement(
        weights, activations, fp, _calls([read for read in reads if read.module in quantized]), recorded.calls
    )


class _Widths(NamedTuple):
    weight: int
    activation: int


def _widths(layers: list[str], policy: Policy, bits: Bits) -> dict[str, _Widths]:
    """Bits of the layers that are not kept in FP: the row's, at the edges `edge_bits`, before both a pattern's."""
    row = _numbers(bits)
    edge = _Widths(*(FP if width == FP else policy.edge_bits for width in row))
    patterns = policy.bits or {}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise BenchError(f"placement: the pattern {pattern!r} of `bits` fits no quantized layer of the model")
    found = {}
    for name in layers:
        fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        longest = [pattern for pattern in fitting if len(pattern) == max(map(len, fitting))]
        if len({patterns[pattern] for pattern in longest}) > 1:
            both = " and ".join(map(repr, longest))
            raise BenchError(f"placement: the patterns {both} of `bits` give layer {name!r} different bits")
        if longest:
            found[name] = _numbers(patterns[longest[0]])
        else:
            found[name] = edge if _fits(name, (*policy.first, *policy.last)) else row
        if _fits(name, policy.keep_inputs or ()):
            found[name] = found[name]._replace(activation=FP)
    return found


def _numbers(bits: Bits) -> _Widths:
    if not isinstance(bits.weight, int) or not isinstance(bits.activation, int):
        raise BenchError(f"placement: bits {bits} are not integers")
    return _Widths(bits.weight, bits.activation)


def _activations(recorded: Recorded, layers: dict[str, _Widths], policy: Policy) -> tuple[ActivationSite, ...]:
    groups: dict[tuple[str, int, int], list[Read]] = defaultdict(list)
    for read in recorded.reads:
        if read.module in layers and (width := layers[read.module].activation) < FP:
            # Every layer lies in a part, also where parts share quantizers.
            part = _part(read.module, policy)
            groups["" if policy.readers == "all" else part, read.tensor, width].append(read)
    sites = []
    for (_, tensor, width), group in groups.items():
        widths = [other for _, same, other in groups if same == tensor]
        # A tensor of two widths: readers that are no layers get that of the inner layers.
        operands = _operands(recorded, tensor) if policy.readers == "all" and width == min(widths) else ()
        sites.append(
            ActivationSite(
                name=_site_name(group[0], recorded.reads),
                readers=tuple((read.module, read.call) for read in group),
                producer=group[0].producer,
                bits=width,
                signed=group[0].producer not in policy.unsigned_after,
                shape=group[0].shape,
                tensor=recorded.makers.get(tensor, "?"),
                operands=operands,
                tap=_tap(recorded, tensor, group, operands) if len(widths) == 1 else None,
            )
        )
    return tuple(sites)


def _operands(recorded: Recorded, tensor: int) -> tuple[Operand, ...]:
    return tuple(operand for operand in recorded.operands if operand.tensor == tensor)


def _tap(recorded: Recorded, tensor: int, group: list[Read], operands: tuple[Operand, ...]) -> str | None:
    """The innermost module that a pass runs once and that returns the tensor before anything reads it.

    None where operations do not read it: layers quantize their inputs themselves, and hold nothing for that.
    """
    if not operands:
        return None
    first = min(*(read.time for read in group), *(operand.time for operand in operands))
    behind = (
        o.module for o in recorded.outputs if o.tensor == tensor and o.time < first and recorded.calls[o.module] == 1
    )
    return next(behind, None)


def _calls(reads: list[Read]) -> tuple[Calls, ...]:
    firsts: dict[str, dict[str, int]] = defaultdict(dict)
    counts: dict[str, int] = {}
    for read in reads:
        counts[read.module] = read.call + 1
        for scope in read.within:
            firsts[read.module].setdefault(scope, read.call)
    return tuple(Calls(name, n, tuple(firsts[name].items())) for name, n in counts.items() if n > 1)


def _shape(layer: nn.Module) -> tuple[int, ...]:
    return tuple(layer.weight.shape)  # type: ignore[arg-type]


def with_bits(placement: Placement, bits: Mapping[str, int], method: str) -> Placement:
    """The placement with other bits at the sites that are named.

    Raises BenchError, naming the method, for a site that the placement lacks, or bits that are not 2 to 16.
    """
    known = {site.name for site in placement.sites}
    for name, width in bits.items():
        if name not in known:
            raise BenchError(f"{method}: it gives bits to {name!r}, which is no quantizer of the placement")
        if isinstance(width, bool) or not isinstance(width, int) or not 2 <= width <= 16:
            raise BenchError(f"{method}: {width!r} bits for {name!r}; an integer of 2 to 16 is wanted")
    return placement._replace(
        weights=tuple(site._replace(bits=bits.get(site.name, site.bits)) for site in placement.weights),
        activations=tuple(site._replace(bits=bits.get(site.name, site.bits)) for site in placement.activations),
    )


def check_pins(placement: Placement, policy: Policy, pins: Pins | None) -> None:
    """Raise BenchError where the placement's counts are not the pinned ones."""
    found = placement.pins(policy.edge_bits)
    if pins is not None and found != pins:
        differ = [
            f"{name} {getattr(found, name)} instead of {getattr(pins, name)}"
            for name in Pins.model_fields
            if getattr(found, name) != getattr(pins, name)
        ]
        raise BenchError(f"placement differs from the suite's pins: {', '.join(differ)}")


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _part(name: str, policy: Policy) -> str:
    for part in policy.parts:
        if name == part or name.startswith(f"{part}.") or fnmatchcase(name, part):
            return part
    raise BenchError(f"placement: layer {name!r} lies in none of the parts {', '.join(policy.parts)}")


def _site_name(read: Read, reads: list[Read]) -> str:
    shared = sum(other.module == read.module for other in reads) > 1
    return f"{read.module}.input{read.call}" if shared else f"{read.module}.input"
