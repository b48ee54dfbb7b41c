"""Options of bits by sensitivity (Fisher information, HAWQ, random), and of the Fisher-trace regulariser."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Index, NonNegative, Positive, Slug, Spec, Text
from bench.schema.bits import FP, Bits
from bench.schema.options.observer import Granularity, Observer

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
