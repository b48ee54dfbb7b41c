"""The policy of a suite and a recorded pass -> every quantizer of the model, before any is made (HQOD)."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from bench.errors import BenchError
from bench.quantization.attention import Projection
from bench.quantization.trace import Read
from bench.schema.bits import Bits
from bench.schema.placement import Pins, Policy


class WeightSite(NamedTuple):
    """The weight of one layer."""

    name: str
    module: str
    bits: int
    signed: bool
    shape: tuple[int, ...]
    """Of the weight: the output channels come first."""


class ActivationSite(NamedTuple):
    """One distinct tensor within one part, and every layer call that reads it."""

    name: str
    readers: tuple[tuple[str, int], ...]
    """(module, number of the call in one forward pass)."""
    producer: str
    bits: int
    signed: bool


class Placement(NamedTuple):
    """All quantizers of a model, and the parameters that stay in FP."""

    weights: tuple[WeightSite, ...]
    activations: tuple[ActivationSite, ...]
    fp: tuple[str, ...]

    @property
    def sites(self) -> "tuple[WeightSite | ActivationSite, ...]":
        """All of them, weights first."""
        return (*self.weights, *self.activations)

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


def place(model: nn.Module, reads: list[Read], policy: Policy, bits: Bits, unsigned_image: bool = False) -> Placement:
    """Decide where quantizers go.

    `unsigned_image`: whether the model's input has no negative values.
    Raises BenchError where a pattern of the policy fits no layer, a layer lies in none of the parts, or a bit
    width is not an integer.
    """
    layers = quantizable(model, policy)
    names = list(layers)
    for pattern in (*policy.first, *policy.last, *policy.keep):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise BenchError(f"placement: the pattern {pattern!r} fits no layer of the model")
    if not isinstance(bits.weight, int) or not isinstance(bits.activation, int):
        raise BenchError(f"placement: bits {bits} are not integers")
    called = {read.module for read in reads}
    quantized = [n for n in names if n in called and not _fits(n, policy.keep)]
    edge = {name for name in quantized if _fits(name, (*policy.first, *policy.last))}
    weights = tuple(
        WeightSite(
            name=f"{n}.weight",
            module=n,
            bits=policy.edge_bits if n in edge else bits.weight,
            signed=True,
            shape=tuple(model.get_parameter(f"{n}.weight").shape),
        )
        for n in quantized
    )
    unsigned = {*policy.unsigned_after, *(["input"] if unsigned_image else [])}
    groups: dict[tuple[str, int, int], list[Read]] = {}
    for read in reads:
        if read.module in quantized:
            width = policy.edge_bits if read.module in edge else bits.activation
            groups.setdefault((_part(read.module, policy), read.tensor, width), []).append(read)
    activations = tuple(
        ActivationSite(
            name=_site_name(group[0], reads),
            readers=tuple((read.module, read.call) for read in group),
            producer=group[0].producer,
            bits=width,
            signed=group[0].producer not in unsigned,
        )
        for (_, _, width), group in groups.items()
    )
    owned = {site.name for site in weights}
    fp = tuple(name for name, _ in model.named_parameters() if name not in owned)
    return Placement(weights, activations, fp)


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
        if name == part or name.startswith(f"{part}."):
            return part
    raise BenchError(f"placement: layer {name!r} lies in none of the parts {', '.join(policy.parts)}")


def _site_name(read: Read, reads: list[Read]) -> str:
    shared = sum(other.module == read.module for other in reads) > 1
    return f"{read.module}.input{read.call}" if shared else f"{read.module}.input"
