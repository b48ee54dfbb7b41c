"""Options of quantization after training: fixed ranges, changes of weights, reconstruction."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Fraction, NonNegative, Positive, Spec
from bench.schema.options.observer import OFFSET_KINDS, Granularity, Observer


class UniformOptions(Spec):
    """Step sizes that observers find and nothing trains; straight-through gradients (1712.05877)."""

    weights: Observer
    activations: Observer
    granularity: Granularity | None = None
    """Of weights: one step size for a tensor (the default) or one for each output channel."""
    offset: Literal["activations"] | None = None
    """Quantizers with an offset (asymmetric): `activations`, those of activations that have a sign. Without one a range
    is as wide on the negative side as on the positive one, which SiLU leaves nearly empty."""
    depthwise: Literal["channel"] | None = None
    """A range for each channel of tensors that depthwise convolutions alone read, as NNCF has them: such a convolution
    never adds two channels, so integer arithmetic allows it. Without it each tensor has one range."""

    @model_validator(mode="after")
    def _fits_observers(self) -> "UniformOptions":
        if self.weights.kind == "mean_minmax":
            raise ValueError("`weights`: a weight has no images whose extremes could be averaged; use minmax")
        if self.offset is not None and self.activations.kind not in OFFSET_KINDS:
            known = ", ".join(OFFSET_KINDS)
            raise ValueError(f"an offset needs both ends of a range: `activations` of a kind among {known}")
        if self.offset is None and "apart" in (self.weights.ends, self.activations.ends):
            raise ValueError("`ends: apart` needs `offset: activations`: without an offset a range has one end")
        return self


class FoldBnOptions(Spec):
    """BatchNorm folded into the convolution before it (1712.05877, section 3.2), for quantization after training."""


class EqualizeOptions(Spec):
    """Cross-layer equalization (1906.04721, section 4.1). Fold BatchNorm first: two convolutions can be scaled against
    each other only where nothing but a ReLU or a leaky ReLU lies between them."""

    rounds: Count
    """How often all pairs are scaled, since a convolution may belong to two; fewer where nothing moves any more."""


class BiasCorrectionOptions(Spec):
    """Empirical bias correction (1906.04721, section 4.2): what quantization adds to the mean of a layer's channels
    is taken off its bias. In a row it stands behind the method that makes quantizers."""

    inputs: Literal["quantized", "fp"]
    """What a layer reads while its shift is measured. `quantized`: what the quantized layers before it make, corrected
    already (AIMET, NNCF). `fp`: what the full-precision model gives it; then it alone is quantized."""


class ReconstructionOptions(Spec):
    """AdaRound (2004.10568): weights are rounded so that the outputs of units stay near the full-precision ones."""

    iterations: Count
    """Steps of Adam for each unit."""
    batch: Count
    """Images of a step."""
    images: Count
    """How many of the calibration images are used, in whole batches, or all where there are fewer. Their inputs and
    outputs of the unit under way are in memory together."""
    lr: Positive
    """Learning rate of the rounding; Adam's default, 0.001, in the released code."""
    inputs: Literal["quantized", "fp"]
    """What a unit is given: what the quantized units before it make (asymmetric reconstruction), or the
    full-precision input."""
    stretch: tuple[float, float]
    """Ends zeta and gamma of the stretched sigmoid (eq. 23)."""
    regulariser: NonNegative
    """Weight lambda of the term that drives the rounding to 0 or 1 (eq. 21)."""
    beta: tuple[Positive, Positive]
    """Exponent of that term (eq. 24) at the end of the warm-up and at the end; between them it falls linearly."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share of the iterations in which that term is left out."""

    @model_validator(mode="after")
    def _stretched(self) -> "ReconstructionOptions":
        zeta, gamma = self.stretch
        if not (zeta > 1 and gamma < 0):
            raise ValueError("`stretch` wants an upper end above 1 and a lower end below 0")
        return self


class BlockOptions(ReconstructionOptions):
    """BRECQ (2102.05426): the layers of a block are rounded together, and the step sizes of its activations learned."""

    blocks: tuple[str, ...]
    """Module names (shell patterns) of the blocks, each with one input and one output tensor. Layers outside of them
    are taken one by one."""
    step_lr: Positive
    """First learning rate of the step sizes, which are trained as LSQ's are; it falls to 0 as a cosine. A quantizer
    that several units have is trained with the first one."""


class QdropOptions(BlockOptions):
    """QDrop (2203.05740): as BRECQ, while the quantization of activations is dropped at random."""

    drop: Fraction
    """Probability with which a value of an activation stays in full precision. 0 is BRECQ."""
