"""The plan of the evidence: which claims are tested together, and what is decided before the runs."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Positive, Slug, Spec, Text


class Family(Spec):
    """Claims that are tested together, each at the same level, so that all of them hold jointly."""

    claims: tuple[Slug, ...] = Field(min_length=1)
    """Ids of claims. Their number sets the level, whatever becomes of each."""
    level: Annotated[float, Field(gt=0, le=0.2)] = 0.03
    """How often any of these claims may hold by mistake if differences are normal; each is tested at this level divided
    by their number. 3 %, because flatter distributions than the normal one make more mistakes: uniform ones 4 %."""
    spread: Positive | None = None
    """Standard deviation of one pair's difference that is expected, in points. The gain that the plan can detect
    follows from it."""
    margin: Positive = 0.5
    """Points: a gain that surely lies between minus and plus this much is called equivalent to none."""


class Evidence(Spec):
    """What is fixed before the runs. The number of repetitions and their checkpoints are the tier's."""

    families: dict[Slug, Family] = {}
    """By name. Each claim belongs to one."""
    survey: Text | None = None
    """Why no claim is tested: gains are shown, and nothing is concluded from them."""
    environments: Literal["one", "several"] = "several"
    """Where pairs may come from. `several`: each pair within one environment, all count together, and the difference
    between environments is tested. `one`: only pairs of the environment that has most of them."""

    @model_validator(mode="after")
    def _tested_or_not(self) -> "Evidence":
        if bool(self.families) == (self.survey is not None):
            raise ValueError("needs either `families`, or `survey` with the reason why no claim is tested")
        return self
