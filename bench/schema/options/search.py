"""Options of the searches that are guided by the detector's output: DetPTQ's reconstruction and LAPQ."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Index, NonNegative, Positive, Spec
from bench.schema.options.observer import Granularity, Observer


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
