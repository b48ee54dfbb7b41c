"""Where quantizers go: a declarative policy, and the counts that a suite pins."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bench.schema.base import Count, Spec
from bench.schema.bits import Bits

EdgeBits = Annotated[int, Field(ge=2, le=8)]


def _integers(bits: Bits) -> Bits:
    if not bits.are_integers:
        raise ValueError(f"bits {bits}: both sides need an integer of 2 to 16, or 32 for no quantizer")
    return bits


class Policy(Spec):
    """Which layers are quantized, and which tensors share a quantizer or have one without sign (HQOD).

    A side at 32 bits has no quantizer, neither at the edges nor elsewhere: in a row '4/32' weights alone have them.
    """

    layers: tuple[Literal["conv", "linear", "attention"], ...] = Field(min_length=1)
    """Kinds of layers that are quantized. `attention`: the four projections of an attention (queries, keys, values,
    output), each as a layer of its own."""
    first: tuple[str, ...] = Field(min_length=1)
    """Module names (shell patterns) of the first layers; their weights and inputs have `edge_bits`."""
    last: tuple[str, ...] = Field(min_length=1)
    """The same for the last layers."""
    edge_bits: EdgeBits = 8
    """Bits of the first and last layers."""
    bits: Annotated[dict[str, Annotated[Bits, AfterValidator(_integers)]], Field(min_length=1)] | None = None
    """By module names (shell patterns): layers that fit have these bits, at the edges too, instead of the row's. Of
    several patterns that fit a layer the longest counts; each must fit a layer that is not kept in FP."""
    keep: tuple[str, ...] = ()
    """Module names (shell patterns) of layers that stay in full precision."""
    keep_inputs: tuple[str, ...] | None = None
    """Module names (shell patterns) of layers that read full precision; their weights are quantized."""
    parts: tuple[str, ...] = Field(min_length=1)
    """Modules of the detector, or shell patterns of layers, as where an ONNX graph has no modules. Layers of one part
    that read the same tensor share its quantizer; layers of different parts do so with `readers: all`."""
    readers: Literal["layers", "all"] | None = None
    """Who reads a quantized tensor quantized. `layers`, the default: the quantized layers alone, each part by its own
    quantizer. `all`: whatever reads it, as where a quantizer stands behind what made the tensor (MQBench, and so HQOD):
    residual additions, interpolations and concatenations too, by one quantizer across all parts."""
    unsigned_after: tuple[Literal["input", "relu", "relu6", "max_pool2d"], ...] = ()
    """Operations after which a tensor is quantized without sign; all other tensors have a sign. `input`: the image,
    where it has no negative values."""


class Pins(Spec):
    """How many quantizers a placement has. A row whose placement has other counts fails before it trains."""

    weights: int
    """Weight quantizers."""
    activations: int
    """Activation quantizers: one for each tensor and part that reads it."""
    edge: int
    """Quantizers of weights and activations that have the policy's `edge_bits`."""
    unsigned: int
    """Activation quantizers without sign."""


class Calibration(Spec):
    """Training images from which step sizes are found."""

    images: Count
    """How many."""
    batch: Count = 1
    """Images of a batch."""
    sets: Literal["disjoint"] | None = None
    """Which images each repetition sees. By default its own draw, so that two may share some; `disjoint`: the first
    `images` of one order of the training images, the next ones, and so on."""
