"""Options of the methods that train: LSQ, AQD, TQT, and the losses of HQOD and HarDet.

They have no defaults: a paper's numbers stand in the suite.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Positive, Spec
from bench.schema.options.observer import MQBENCH_OBSERVERS, Backend, Granularity, Observer


class LsqOptions(Spec):
    """LSQ (1902.08153)."""

    range_test: Literal["paper", "mqbench"]
    """Whether x / s is compared with the range before rounding (`paper`) or after it (`mqbench`, and so HQOD)."""
    grad_scale: Literal["batch", "feature", "none"]
    """N in the gradient scale 1 / sqrt(N * QP) of activations: all values of the batch (`batch`, MQBench) or those of
    one image (`feature`, the paper). `none`: no scale. For weights N is the number of weights that share the step."""
    weights: Observer
    """Finds the first step sizes of weights."""
    activations: Observer
    """Finds the first step sizes of activations."""
    granularity: Granularity | None = None
    """Of weights: one step size for a tensor (the default) or one for each output channel."""
    backend: Backend | None = None
    """`mqbench`: MQBench's own quantizers compute; by default this project's do."""

    @model_validator(mode="after")
    def _fits_backend(self) -> "LsqOptions":
        if self.backend == "mqbench":
            for name in ("weights", "activations"):
                if (kind := getattr(self, name).kind) not in MQBENCH_OBSERVERS:
                    raise ValueError(f"backend mqbench has no observer {kind} of `{name}`")
            if (self.range_test, self.granularity) not in (("mqbench", None), ("mqbench", "tensor")):
                raise ValueError("backend mqbench needs `range_test: mqbench` and one step size for a tensor")
            if self.grad_scale == "feature":
                raise ValueError("backend mqbench has `grad_scale` batch and none, not feature")
        return self


class MultiLevelOptions(Spec):
    """Multi-level BN in the head (AQD 2007.06919), as the full-precision start of AQD has it."""

    sync: bool
    """Whether statistics are taken over all processes (Sync-BN; GPUs only), as HQOD's paper says, or over each one
    alone, as its code does."""


class AqdOptions(LsqOptions, MultiLevelOptions):
    """AQD as HQOD has it: multi-level BN in the head, LSQ's quantizers."""


class TqtOptions(Spec):
    """TQT with trained thresholds (1903.08066)."""

    weights: Observer
    """Finds the first thresholds of weights."""
    activations: Observer
    """Finds the first thresholds of activations."""
    granularity: Granularity | None = None
    """Of weights: one threshold for a tensor (the default) or one for each output channel."""


class TqtFixedOptions(Spec):
    """TQT as MQBench (00f477d) and HQOD have it: power-of-two steps that are never trained."""

    weights: Observer
    activations: Observer
    image: Observer
    """Of the input image, for which HQOD tries a single exponent."""
    backend: Backend | None = None

    @model_validator(mode="after")
    def _fits_backend(self) -> "TqtFixedOptions":
        fixed = {"weights": ("weight", 5), "activations": ("activation", 5), "image": ("activation", 1)}
        for name, (rounding, exponents) in fixed.items() if self.backend == "mqbench" else ():
            found = getattr(self, name)
            if (found.kind, found.rounding, found.exponents) != ("pot_mode", rounding, exponents):
                form = f"{{kind: pot_mode, rounding: {rounding}, exponents: {exponents}}}"
                raise ValueError(f"backend mqbench needs `{name}: {form}`")
        return self


class HqodOptions(Spec):
    """HQOD's losses (2408.02561)."""

    terms: Annotated[tuple[Literal["tcorr", "hiou"], ...], Field(min_length=1)]
    """Which losses are added: task correlation (`tcorr`, eq. 7), harmonious IoU (`hiou`, eq. 8)."""
    sigma: Positive | None = None
    """Weight of the harmonious IoU loss (eq. 9); given if `terms` has `hiou`."""
    gamma: Positive | None = None
    """Exponent of the harmonious IoU loss (eq. 8); given if `terms` has `hiou`."""
    normaliser: Literal["paper", "code"]
    """What the sum over positive samples is divided by: their number (`paper`, eq. 9), or what the head divides its box
    losses by (`code`, VP-QOD). The two differ for ATSS, which divides its box losses by the sum of centerness."""

    @model_validator(mode="after")
    def _fits_terms(self) -> "HqodOptions":
        if len(set(self.terms)) != len(self.terms):
            raise ValueError("a term stands twice in `terms`")
        for name in ("sigma", "gamma"):
            if (getattr(self, name) is not None) != ("hiou" in self.terms):
                needs = "needs" if "hiou" in self.terms else "without hiou has no"
                raise ValueError(f"`terms` {needs} `{name}`")
        return self


class HardetOptions(Spec):
    """HarDet's losses (2108.10809)."""

    form: Literal["paper", "hqod"]
    """`paper`: the classification and the box loss are each weighted by the other's plain value, and the contrastive
    term starts at 0. `hqod`: the form in HQOD's code (VP-QOD), which weights the classification by the box loss after
    that was weighted, and whose contrastive term jumps to `margin`."""
    alpha: Positive
    """Weight of the harmonic IoU loss."""
    gamma: Positive
    """Exponent of the harmonic IoU loss."""
    margin: Annotated[float, Field(ge=0, lt=1)]
    """Margin m of the task contrastive loss: gaps |p - u| up to it cost nothing."""
