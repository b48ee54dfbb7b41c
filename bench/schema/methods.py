"""The built-in methods and their hyper-parameters, without defaults: a paper's numbers stand in the suite."""

from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError, model_validator

from bench.errors import UsageError
from bench.schema.base import Count, Fraction, Index, NonNegative, Positive, Slug, Spec, Text, parse
from bench.schema.bits import FP, Bits
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


AllocatedBits = Annotated[int, Field(ge=2, le=8)]


class BudgetOptions(Spec):
    """Bits for each weight of a layer, such that all weights together take no more than at the row's bits."""

    choices: Annotated[tuple[AllocatedBits, ...], Field(min_length=1)]
    """The bit widths that a weight may get, in rising order."""
    budget: Literal["bytes", "bops"]
    """What may not exceed that of the row's own bits: the bytes of the quantized weights, or the bit operations of
    their layers (MACs x weight bits x activation bits)."""
    weights: Observer
    """Finds the steps by which a weight's error at each choice is measured: as the row's quantizers find theirs."""
    granularity: Granularity | None = None
    """Of these steps."""

    @model_validator(mode="after")
    def _rise(self) -> "BudgetOptions":
        if list(self.choices) != sorted(set(self.choices)):
            raise ValueError("`choices` must rise, and name no width twice")
        return self

    def misfit(self, bits: Bits) -> str | None:
        """Why a row of these bits cannot have the method; None where it can."""
        if not isinstance(bits.weight, int) or bits.weight == FP:
            return f"bits {bits}: they set the budget of weights, which have none"
        if bits.weight < self.choices[0]:
            return f"bits {bits}: the budget lies below the smallest possible size, {self.choices[0]} bits everywhere"
        return None


class CriticalOptions(Spec):
    """The group of categories of the critical objective (2407.03442)."""

    group: Slug | None = None
    """Name of a group of the suite: planning puts its categories at the tier in its place."""
    categories: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Names of the critical categories, in place of a group."""
    shuffled: Index | None = None
    """A seed: a control, with as many categories drawn at random from the others in place of these."""

    @model_validator(mode="after")
    def _shuffles_a_group(self) -> "CriticalOptions":
        if self.group is not None and self.categories is not None:
            raise ValueError("`group` and `categories` say the same; give one of them")
        if not self.critical and self.shuffled is not None:
            raise ValueError("`shuffled` needs a `group`")
        if len(set(self.categories or ())) != len(self.categories or ()):
            raise ValueError("a name stands twice in `categories`")
        return self

    @property
    def critical(self) -> bool:
        """Whether there is a group."""
        return self.group is not None or self.categories is not None


class FisherOptions(BudgetOptions, CriticalOptions):
    """Fisher-aware mixed precision (2407.03442). Without a group Fisher-Overall, with one Fisher-Critical."""

    alpha: NonNegative | None = None
    """Weight of the overall objective beside the critical one (eq. 8); given with a group."""
    form: Literal["norm", "diagonal"]
    """The cost of a weight's error d. `norm`: s |d|^2, s the squared norm of the layer's gradient (eq. 11). `diagonal`:
    the sum over its entries of F d^2, F the Fisher information of each."""

    @model_validator(mode="after")
    def _weighs_two(self) -> "FisherOptions":
        if (self.alpha is not None) != self.critical:
            raise ValueError("`alpha` and `group` are given together")
        return self


class HawqOptions(BudgetOptions):
    """HAWQ-V2's sensitivities (1911.03852): the mean trace of the Hessian."""

    probes: Count
    """Random vectors of Hutchinson's estimator, for each calibration image."""
    images: Count
    """Calibration images that it uses, the first ones."""
    seed: Index


class RandomBitsOptions(BudgetOptions):
    """Random sensitivities, a control."""

    seed: Index
    decades: Positive
    """Powers of ten over which they are spread, evenly in the logarithm."""


class FisherTraceOptions(CriticalOptions):
    """The regulariser lambda * trace of the Fisher information of the critical objective (2407.03442, eq. 12)."""

    strength: tuple[NonNegative, NonNegative]
    """Lambda at the first step and at the end of the training; between them it changes evenly."""
    images: Count
    """Of each batch, the first ones: their single gradients make the trace."""


class Objective(Spec):
    """By what a search over step sizes judges the whole detector."""

    kind: Literal["odol", "loss"]
    """`odol`: how far the outputs lie from those in full precision, without labels (`bench.detectors.odol`, ours).
    `loss`: the detector's own training loss against the labels."""
    threshold: Annotated[float, Field(ge=0, lt=1)] | None = None
    """ODOL: locations whose best score in full precision is above it are compared by classes and boxes."""
    background: NonNegative | None = None
    """ODOL: weight of the squared difference of the best scores at all other locations."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "Objective":
        for name in ("threshold", "background"):
            if (getattr(self, name) is not None) != (self.kind == "odol"):
                raise ValueError(f"objective {self.kind} {'needs' if self.kind == 'odol' else 'has no'} `{name}`")
        return self


class DetptqOptions(Spec):
    """DetPTQ (2304.09785), reconstructed from its abstract."""

    candidates: Annotated[tuple[Positive | Literal["minmax"], ...], Field(min_length=1)]
    """The p of each metric |x - q(x)|^p that is tried; `minmax` is the whole range."""
    objective: Objective
    search: Literal["fixed", "descent", "greedy", "random"]
    """`fixed`: one metric for all quantizers. `descent`: from there one quantizer after the other. `greedy`: in order,
    those behind in full precision. `random`: drawn for each quantizer, a control."""
    accept: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The share by which a change must lower the loss; `descent` only."""
    seed: Index | None = None
    """Of the draw; `random` only."""
    first_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of the choosing batches that all metrics of a quantizer are tried on; the better half sees twice as
    many, and so on. By default all see all. `descent` and `greedy`."""
    weights: Observer | None = None
    """Finds the step sizes of weights. Without it their metrics are searched too, before those of activations."""
    granularity: Granularity | None = None
    """Of weights: one step size for a tensor (the default) or one for each output channel."""
    offset: Literal["activations"] | None = None
    """As `uniform` has it: quantizers with an offset for activations that have a sign."""

    @model_validator(mode="after")
    def _fits_search(self) -> "DetptqOptions":
        fields: tuple[tuple[str, set[str]], ...] = (("accept", {"descent"}), ("seed", {"random"}))
        for name, searches in fields:
            if (getattr(self, name) is not None) != (self.search in searches):
                needs = "needs" if self.search in searches else "has no"
                raise ValueError(f"search {self.search} {needs} `{name}`")
        if self.first_share is not None and self.search not in ("descent", "greedy"):
            raise ValueError(f"search {self.search} has no `first_share`")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("a metric stands twice in `candidates`")
        return self


class Powell(Spec):
    """Powell's method over the step sizes of all activations together (scipy.optimize)."""

    iterations: Count
    """Rounds over all directions, at most."""
    evaluations: Count
    """Losses that are computed, at most."""


class LapqOptions(Spec):
    """LAPQ (1911.07190)."""

    lowest: Positive
    """The smallest p that is tried,"""
    highest: Positive
    """the largest one,"""
    samples: Annotated[int, Field(ge=3)]
    """and how many, evenly spaced."""
    objective: Objective
    """Minimised over p; the paper has the task's loss."""
    powell: Powell | None = None
    """The paper's last step; without it the step sizes at the best p stay."""
    weights: Observer | None = None
    """Finds the step sizes of weights. Without it they have the same p as activations, as in the paper."""
    granularity: Granularity | None = None
    """Of weights: one step size for a tensor (the default) or one for each output channel."""
    offset: Literal["activations"] | None = None
    """As `uniform` has it: quantizers with an offset for activations that have a sign."""

    @model_validator(mode="after")
    def _ordered(self) -> "LapqOptions":
        if self.lowest >= self.highest:
            raise ValueError("`lowest` must lie below `highest`")
        return self


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
    "fisher": Builtin("bench.methods.fisher:Fisher", FisherOptions),
    "hawq": Builtin("bench.methods.hawq:Hawq", HawqOptions),
    "random_bits": Builtin("bench.methods.random_bits:RandomBits", RandomBitsOptions),
    "fisher_trace": Builtin("bench.methods.fisher_trace:FisherTrace", FisherTraceOptions),
    "detptq": Builtin("bench.methods.detptq:DetPTQ", DetptqOptions),
    "lapq": Builtin("bench.methods.lapq:LAPQ", LapqOptions),
    "adaround": Builtin("bench.methods.reconstruction:AdaRound", ReconstructionOptions),
    "brecq": Builtin("bench.methods.reconstruction:BRECQ", BlockOptions),
    "qdrop": Builtin("bench.methods.reconstruction:QDrop", QdropOptions),
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
