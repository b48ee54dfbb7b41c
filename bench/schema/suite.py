"""A suite: one table of one paper, its rows and the tiers at which it runs."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from bench.schema.base import Count, Slug, Spec, Text
from bench.schema.bits import Bits
from bench.schema.claim import Claim, Limit
from bench.schema.data import DataSpec
from bench.schema.detector import DetectorScale, Init
from bench.schema.methods import Observer
from bench.schema.placement import Calibration, Pins, Policy
from bench.schema.recipe import Recipe

Tier = Literal["smoke", "mini", "midi", "paper"]
TIERS: tuple[Tier, ...] = ("smoke", "mini", "midi", "paper")
MOST_SEEDS = 100
MethodName = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")]


class MethodUse(Spec):
    """A method of a row: a built-in's name or `package.module:Class`, and its hyper-parameters."""

    name: MethodName
    options: dict[str, Any] = {}


class Row(Spec):
    """One line of the table."""

    id: Slug
    label: Text
    detector: str
    bits: Bits
    methods: tuple[MethodUse, ...] = ()
    """Applied in this order."""
    recipe: str | None = None
    """Name of a recipe of the tier; left out: the row is not trained (post-training quantization, evaluation)."""
    start: str | None = None
    """The row whose checkpoint this one starts from."""
    start_part: Literal["backbone"] | None = None
    """Only this part of it is taken: the other row may then have another detector with an equal backbone."""
    policy: str | None = None
    """Name of a placement policy; needed where a method makes quantizers."""
    pins: dict[Tier, Pins] = {}
    published: str | None = None
    """Id of the published row in the suite's table."""
    scored: Literal["test", "tune"] = "test"
    """The split that it is scored on. `tune` is for choosing a protocol: no claim or verdict on a paper uses it."""
    reported_only: str | None = None
    """Why the row is shown with its published number but not run."""
    reconstruction: str | None = None
    """What is ours and not the paper's, where the publication leaves the method open."""
    note: str | None = None


class Metric(Spec):
    """How predictions are scored; the first metric is the one that verdicts use."""

    variant: Literal["coco", "voc07", "voc12"]
    area_side: Count = 640
    """COCO's area ranges are scaled by (area_side / 640) squared."""
    iou: Annotated[float, Field(gt=0, le=1)] = 0.5
    """VOC variants only."""
    pixels: Literal["inclusive", "exclusive"] = "inclusive"
    """VOC variants only."""


class Observers(Spec):
    """Other observers than a row's method declares."""

    weights: Observer | None = None
    activations: Observer | None = None


class TierSpec(Spec):
    """The scale at which a suite runs; it changes data, scale and schedule, never a method."""

    data: DataSpec
    metric: Metric
    detectors: dict[str, DetectorScale] = Field(min_length=1)
    inits: dict[Slug, Init] = {}
    """By row id: another start of FP training than the detector's `init`."""
    observers: dict[Slug, Observers] = {}
    """By row id: other first step sizes at this tier, whose schedule may be too short for those of the paper."""
    recipes: dict[str, Recipe | None] = {}
    """Null: rows of that recipe are not trained at this tier, because they are a published checkpoint."""
    calibration: Calibration | None = None
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 1
    """Repetitions of each row that starts from another; the FP checkpoints are those of repetition 0."""

    def scale(self, row: Row) -> DetectorScale:
        """The row's detector, with the init that the row starts from; KeyError where the tier lacks the detector."""
        scale, init = self.detectors[row.detector], self.inits.get(row.id)
        return scale if init is None else scale.model_copy(update={"init": init})

    def methods(self, row: Row) -> tuple[MethodUse, ...]:
        """The row's methods, with the observers that the tier gives them."""
        observers = self.observers.get(row.id)
        if observers is None:
            return row.methods
        other = observers.model_dump(mode="json", exclude_none=True)
        return tuple(
            use.model_copy(update={"options": use.options | other}) if other.keys() <= use.options.keys() else use
            for use in row.methods
        )

    def recipe(self, row: Row) -> Recipe | None:
        """How the row is trained; None where it is not."""
        return self.recipes.get(row.recipe or "")


class Published(Spec):
    """The published table beside which the suite's is printed."""

    file: Slug
    """`baselines/published/<file>.yaml`."""
    table: Text


class Suite(Spec):
    """One table of one paper; found as `suites/<paper>/<table>.yaml`."""

    title: Text
    published: Published | None = None
    policies: dict[str, Policy] = {}
    rows: tuple[Row, ...] = Field(min_length=1)
    tiers: dict[Tier, TierSpec] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()
    """What the paper asserts; tested on paired runs, corrected over all of them."""
    regime: tuple[Limit, ...] = ()

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        if re.search(r"[\r\n]", title):
            raise ValueError("the title must be one line")
        return title

    def row(self, row_id: str) -> Row:
        """The row of that id; KeyError where there is none."""
        return {row.id: row for row in self.rows}[row_id]
