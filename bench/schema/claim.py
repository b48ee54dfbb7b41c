"""What a paper asserts of its own table, as data: a claim is a difference, never one number."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Slug, Spec, Text

Points = Annotated[float, Field(gt=0, le=100)]
ROWS = {"difference": 2, "interaction": 4, "average": 4}


class Claim(Spec):
    """`difference`: the first row beats the second; `interaction`: by more than the third beats the fourth;
    `average`: on average over this pair and the pair of the third and fourth."""

    id: Slug
    text: Text
    """In the paper's sense, in one sentence."""
    source: Text
    """Where the paper asserts it."""
    kind: Literal["difference", "interaction", "average"]
    metric: Literal["AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "mAP", "gap_share"]
    """`gap_share`: of the positives, those whose score and IoU differ by at most 0.1 (`bench.evaluation.harmony`)."""
    rows: tuple[Slug, ...]
    published: Points | None = None
    """The gain that the paper prints, in points; left out where it prints none."""
    within: tuple[Slug, ...] = ()
    """Rows of `regime` that must keep their limits, or the claim is out of the paper's regime."""

    @model_validator(mode="after")
    def _as_many_rows(self) -> "Claim":
        if len(self.rows) != ROWS[self.kind]:
            raise ValueError(f"kind {self.kind} compares {ROWS[self.kind]} rows, found {len(self.rows)}")
        return self


class Limit(Spec):
    """What a row may lose, so that a tier is still in the regime that the paper speaks of."""

    row: Slug
    reference: Slug
    """The row that it is measured against, such as FP+ft."""
    loses_at_most: Points
    """Of the headline metric."""
