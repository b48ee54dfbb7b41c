"""Where quantizers go: a declarative policy, and the counts that a suite pins."""

from typing import Annotated, Literal

from pydantic import Field

from bench.schema.base import Count, Spec

EdgeBits = Annotated[int, Field(ge=2, le=8)]


class Policy(Spec):
    """Which layers are quantized, and how their tensors are shared and signed (HQOD)."""

    layers: tuple[Literal["conv", "linear", "attention"], ...] = Field(min_length=1)
    """`attention`: the four projections of an attention (queries, keys, values, output) as layers of their own."""
    first: tuple[str, ...] = Field(min_length=1)
    """Module names (shell patterns) of the first layers: weight and input at `edge_bits`."""
    last: tuple[str, ...] = Field(min_length=1)
    """The same for the last layers."""
    edge_bits: EdgeBits = 8
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

    images: Count
    batch: Count = 1
