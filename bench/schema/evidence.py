"""The plan of the evidence: which claims are tested together, and what is decided before the runs."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Index, Positive, Slug, Spec, Text

TAIL = 5
"""Replicates that must lie beyond a bound over images: fewer say too little of where it lies."""


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
    over: Literal["repetitions", "images"] = "repetitions"
    """What bounds are over. `repetitions`: pairs of runs. `images`: the test images, by the paired bootstrap; for rows
    without a training of their own, which are the same at every run."""
    replicates: Count | None = None
    """Of the bootstrap; only over images, as `seed`."""
    seed: Index | None = None
    """Of the draws of images."""
    least: Positive | None = None
    """Points of the claim's metric: a claim whose rows all lie below it is out of regime."""

    @model_validator(mode="after")
    def _over_images(self) -> "Family":
        given = [name for name in ("replicates", "seed") if getattr(self, name) is not None]
        if self.over == "repetitions" and given:
            raise ValueError(f"`{given[0]}` belongs to `over: images`")
        if self.over == "images" and len(given) < 2:
            raise ValueError("`over: images` needs `replicates` (such as 2000) and `seed`")
        if self.over == "images" and self.spread is not None:
            raise ValueError("`spread` is of repetitions; over images it follows from the bootstrap")
        needed = math.ceil(TAIL * len(self.claims) / self.level)
        if self.replicates is not None and self.replicates < needed:
            claims = "1 claim" if len(self.claims) == 1 else f"{len(self.claims)} claims"
            text = f"{self.replicates} replicates are too few for {claims} at {100 * self.level:g} %"
            raise ValueError(f"{text}: at least {needed} are needed")
        return self


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
