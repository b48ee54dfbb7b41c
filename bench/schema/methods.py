"""The built-in methods and their hyper-parameters, without defaults: a paper's numbers stand in the suite."""

from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError, model_validator

from bench.errors import UsageError
from bench.schema.base import Count, Positive, Spec, parse
from bench.schema.classes import check_class

T = TypeVar("T", bound=Spec)


class Observer(Spec):
    """How the first step size of a quantizer is found from data (LSQ 1902.08153; MQBench 00f477d; VP-QOD 27f69e85)."""

    kind: Literal[
        "minmax", "absmax", "ema_minmax", "mse", "ema_mse", "lsq", "percentile", "std", "pot_mode",
        "mean_minmax", "quantile", "entropy", "lp", "cosine",
    ]  # fmt: skip
    """Those of the second line see all batches, or images, before they choose. `minmax` halves the range of codes, so
    that max |x| lies between the last two; for `absmax` it is the last one's (ONNX Runtime)."""
    p: Positive | None = None
    """Exponent of the error |x - q(x)|^p that is minimised: in each batch (`mse`, `ema_mse`) or over all (`lp`)."""
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Weight of the past in the moving average over batches; `ema_minmax` and `ema_mse` only."""
    q: Annotated[float, Field(gt=0, le=100)] | None = None
    """Percentage of |x| that lies in the range: in each batch (`percentile`) or in all together (`quantile`; with an
    offset of x, half of the rest on each side)."""
    stds: Positive | None = None
    """The range ends at |mean| + `stds` standard deviations; `std` only."""
    rounding: Literal["weight", "activation"] | None = None
    """How halves are rounded in the search over exponents: by MQBench's rule for weights or for activations;
    `pot_mode` only."""
    exponents: Count | None = None
    """How many powers of two are tried, downward from the one that covers the range; `pot_mode` only."""
    candidates: Count | None = None
    """Into how many equal parts the observed range is cut, each part being tried; `lp` and `cosine` only."""
    ends: Literal["together", "apart"] | None = None
    """With an offset, whether both ends of the range shrink by one factor (the default), or each by its own; `lp`
    only."""
    bins: Count | None = None
    """Of the histogram of |x|; `entropy` only. TensorRT has 2048."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "Observer":
        fields: tuple[tuple[str, set[str]], ...] = (
            ("p", {"mse", "ema_mse", "lp"}),
            ("ema", {"ema_minmax", "ema_mse"}),
            ("q", {"percentile", "quantile"}),
            ("stds", {"std"}),
            ("rounding", {"pot_mode"}),
            ("exponents", {"pot_mode"}),
            ("candidates", {"lp", "cosine"}),
            ("bins", {"entropy"}),
        )
        for name, kinds in fields:
            if (getattr(self, name) is not None) != (self.kind in kinds):
                needs = "needs" if self.kind in kinds else "has no"
                raise ValueError(f"observer {self.kind} {needs} `{name}`")
        if self.ends is not None and self.kind != "lp":
            raise ValueError(f"observer {self.kind} has no `ends`")
        return self


RANGE_KINDS = ("mean_minmax", "quantile", "entropy", "lp", "cosine")
"""Observers that see all calibration images before they choose a range."""
OFFSET_KINDS = ("minmax", "ema_minmax", *RANGE_KINDS)
"""Observers that know both ends of a range, as an offset needs them."""

Granularity = Literal["tensor", "channel"]
"""Of weights: one step size for all of a tensor, or one per output channel; None means `tensor`."""


Backend = Literal["mqbench"]
"""Whose quantizers compute; None means this project's. `mqbench`: MQBench's own classes (ModelTC/MQBench 00f477d, extra
`qdet-bench[mqbench]`). On a GPU each of their calls waits for the device, and its TQT trains no threshold."""
MQBENCH_OBSERVERS = ("minmax", "ema_minmax", "mse", "ema_mse", "lsq")


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


class UniformOptions(Spec):
    """Step sizes that observers find and nothing trains; straight-through gradients (1712.05877)."""

    weights: Observer
    activations: Observer
    granularity: Granularity | None = None
    """Of weights: one step size for a tensor (the default) or one for each output channel."""
    offset: Literal["activations"] | None = None
    """Quantizers with an offset (asymmetric): `activations`, those of activations that have a sign. Without one a range
    is as wide on the negative side as on the positive one, which SiLU leaves nearly empty."""

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


class Builtin(NamedTuple):
    """A built-in method: where its class is, and the model of its options."""

    target: str
    options: type[Spec]


BUILTIN = {
    "lsq": Builtin("bench.methods.lsq:LSQ", LsqOptions),
    "multi_level_bn": Builtin("bench.methods.aqd:MultiLevelBN", MultiLevelOptions),
    "aqd": Builtin("bench.methods.aqd:AQD", AqdOptions),
    "tqt": Builtin("bench.methods.tqt:TQT", TqtOptions),
    "tqt_fixed": Builtin("bench.methods.tqt:TqtFixed", TqtFixedOptions),
    "hqod": Builtin("bench.methods.hqod:HQOD", HqodOptions),
    "hardet": Builtin("bench.methods.hardet:HarDet", HardetOptions),
    "fold_bn": Builtin("bench.methods.fold_bn:FoldBn", FoldBnOptions),
    "equalize": Builtin("bench.methods.equalize:Equalize", EqualizeOptions),
    "bias_correction": Builtin("bench.methods.bias_correction:BiasCorrection", BiasCorrectionOptions),
    "uniform": Builtin("bench.methods.uniform:Uniform", UniformOptions),
}
PROTOCOL = "bench.methods.protocol:Method"
"""A class that derives from it inherits empty hooks, which do not count."""


class MethodFacts(NamedTuple):
    """What planning needs to know of a method's class."""

    target: str
    version: int
    makes_quantizers: bool
    reshapes_losses: bool


def facts(name: str) -> MethodFacts:
    """Read a method's facts from its source, without importing it.

    Raises UsageError where the module or class is absent, or has no positive integer `version`.
    """
    target = BUILTIN[name].target if name in BUILTIN else name
    version, members = check_class("method", name, target, PROTOCOL, BUILTIN)
    return MethodFacts(target, version, "make_quantizers" in members, "reshape_losses" in members)


def options_of(model: type[T], options: T | dict[str, Any]) -> T:
    """The options as their model: a class that derives from a built-in method hands on the dict of its row.

    Raises UsageError where they do not fit.
    """
    if isinstance(options, model):
        return options
    try:
        return parse(model, options)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"options of {model.__name__.removesuffix('Options')}: {faults}") from None


def options_model(name: str) -> type[Spec] | None:
    """The model of a built-in method's options; None for a user's own method, which checks them itself."""
    return next((method.options for key, method in BUILTIN.items() if name in (key, method.target)), None)
