"""How the first step size of a quantizer is found from data: what suites write below `weights` and `activations`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Positive, Spec


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
