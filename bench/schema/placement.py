"""Where quantizers go: a declarative policy, and the counts that a suite pins."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bench.schema.base import Spec
from bench.schema.bits import Bits

EdgeBits = Annotated[int, Field(ge=2, le=8)]


def _integers(bits: Bits) -> Bits:
    if not bits.are_integers:
        raise ValueError(f"bits {bits}: both sides need an integer of 2 to 16, or 32 for no quantizer")
    return bits


class Policy(Spec):
    """Which layers are quantized, and how their tensors are shared and signed (HQOD).

    A side at 32 bits has no quantizer, neither at the edges nor elsewhere: in a row '4/32' weights alone have them.
    """

    layers: tuple[Literal["conv", "linear", "attention"], ...] = Field(min_length=1)
    """`attention`: the four projections of an attention (queries, keys, values, output) as layers of their own."""
    first: tuple[str, ...] = Field(min_length=1)
    """Module names (shell patterns) of the first layers: weight and input at `edge_bits`."""
    last: tuple[str, ...] = Field(min_length=1)
    """The same for the last layers."""
    edge_bits: EdgeBits = 8
    bits: Annotated[dict[str, Annotated[Bits, AfterValidator(_integers)]], Field(min_length=1)] | None = None
    """By module names (shell patterns): layers that fit have these bits, at the edges too, instead of the row's. Of
    several patterns that fit a layer the longest counts; each must fit a layer that is not kept in FP."""
    keep: tuple[str, ...] = ()
    """Modules left in FP."""
    parts: tuple[str, ...] = Field(min_length=1)
    """Within one part, all layers that read a tensor share its quantizer; across parts they do not."""
    unsigned_after: tuple[Literal["relu", "relu6", "max_pool2d"], ...] = ()
    """Operations after which a tensor is quantized without sign. Everything else is signed, but for an image of which
    no mean is subtracted."""


class Pins(Spec):
    """Counts of a placement; a row whose placement differs fails before its mAP is looked at."""

    weights: int
    """Weight quantizers."""
    activations: int
    """Activation quantizers, one per distinct tensor and part."""
    edge: int
    """Quantizers of either kind at the policy's `edge_bits`."""
    unsigned: int
    """Activation quantizers without sign."""


class Calibration(Spec):
    """Images that initialise the quantizers, in eval mode."""

    images: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)] = 1
