"""What a paper asserts about its own table: always a difference of rows, never one number."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Slug, Spec, Text
from bench.schema.metric_names import MetricName

Points = Annotated[float, Field(gt=0, le=100)]
ROWS = {"difference": 2, "interaction": 4}


class Claim(Spec):
    """An assertion of the paper about differences between rows."""

    id: Slug
    text: Text
    """What the paper asserts, in one sentence."""
    source: Text
    """Where the paper asserts it."""
    kind: Literal["difference", "interaction"]
    """`difference`: the first row beats the second. `interaction`: it does so by more than the third beats the fourth;
    all four have the same schedule and the same start."""
    metric: MetricName
    """A score; `GROUP.METRIC`, such as `vehicle.AP`, is the score on a group of `groups`. `gap_share`: the share of
    positives whose score and IoU differ by at most 0.1 (`bench.evaluation.harmony`)."""
    rows: tuple[Slug, ...]
    """Ids of two rows, or of four; `kind` says how they are compared."""
    published: Points | None = None
    """The gain that the paper prints, in points, if it prints one."""
    within: tuple[Slug, ...] = ()
    """Limits of `regime`, by `id` or row. If one of them is not kept, the claim is reported as out of the paper's
    regime."""
    gates: bool = True
    """Whether pytest's test of the claim fails where the claim does. An open question's is skipped, and says so."""

    @model_validator(mode="after")
    def _as_many_rows(self) -> "Claim":
        if len(self.rows) != ROWS[self.kind]:
            raise ValueError(f"kind {self.kind} compares {ROWS[self.kind]} rows, found {len(self.rows)}")
        return self


class Limit(Spec):
    """How much a row may lose against another, or must: a claim about a repair means little where there is little left
    to repair, or nothing."""

    id: Slug | None = None
    """Names the limit where a row has several; else it has the name of its row."""
    row: Slug
    reference: Slug
    """The row that it is compared with, such as FP+ft."""
    loses_at_most: Points | None = None
    """Points of the metric."""
    loses_at_least: Points | None = None
    """Points of the metric: the other way round."""
    metric: MetricName | None = None
    """What is lost; without it the headline metric."""

    @property
    def name(self) -> str:
        """By which claims name it."""
        return self.id or self.row

    @model_validator(mode="after")
    def _one_bound(self) -> "Limit":
        if (self.loses_at_most is None) == (self.loses_at_least is None):
            raise ValueError("needs either `loses_at_most` or `loses_at_least`")
        return self
