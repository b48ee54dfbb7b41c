"""A suite: one table of one paper, its rows and the tiers at which it runs."""

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.schema.base import Count, Slug, Spec, Text
from bench.schema.bits import Bits
from bench.schema.categories import SHAPES
from bench.schema.claim import Claim, Limit
from bench.schema.data import DataSpec
from bench.schema.detector import DetectorScale, Init
from bench.schema.evidence import Evidence, Family
from bench.schema.forms import METHOD
from bench.schema.group import CategoryGroup, GroupName
from bench.schema.options.observer import Observer
from bench.schema.placement import Calibration, Pins, Policy
from bench.schema.recipe import Recipe

Tier = Literal["smoke", "mini", "midi", "paper"]
TIERS: tuple[Tier, ...] = ("smoke", "mini", "midi", "paper")
MOST_SEEDS = 100
MethodName = Annotated[str, Field(pattern=METHOD)]


class MethodUse(Spec):
    """A method of a row and its hyper-parameters."""

    name: MethodName
    """A built-in's name, or `package.module:Class` for a class of your own."""
    options: dict[str, Any] = {}
    """Its hyper-parameters; those of a built-in are checked when the suite is read."""


class Row(Spec):
    """One line of the table."""

    id: Slug
    """Names the row on the command line and within the suite."""
    label: Text
    """Names the row in the printed table."""
    detector: str
    """Name of a detector of the catalogue, such as `retinanet-r18`."""
    bits: Bits
    """Bit widths of weights and activations, `W/A`, such as `4/4`; `32/32` is full precision."""
    methods: tuple[MethodUse, ...] = ()
    """Applied in this order. At most one of them makes quantizers."""
    recipe: str | None = None
    """Name of a recipe of the tier. Without one the row is not trained: it is evaluated, or quantized after
    training."""
    start: str | None = None
    """The row whose checkpoint this one starts from."""
    start_part: Literal["backbone"] | None = None
    """Take only this part of that checkpoint; the other row may then have another detector with the same backbone."""
    policy: str | None = None
    """Name of the policy that places the quantizers; needed if a method makes quantizers."""
    pins: dict[Tier, Pins] = {}
    """By tier: how many quantizers the placement must have. A row with other counts fails before it trains."""
    published: str | None = None
    """Id of the published row in the suite's table."""
    repetitions: Count | None = None
    """So many at most, where the tier has more: enough for a row that no claim over repetitions names."""
    scored: Literal["test", "tune"] = "test"
    """The split that the row is scored on. `tune` is for choosing schedules: no claim or verdict uses such a row."""
    reported_only: str | None = None
    """If given, the row is not run, and this is why: it is shown with its published number, or with predictions of
    another tool that were submitted to it."""
    reconstruction: str | None = None
    """What we had to choose ourselves because the publication does not say it; printed below the table."""
    note: str | None = None
    """Printed below the table."""


class Metric(Spec):
    """How predictions are scored."""

    variant: Literal["coco", "voc07", "voc12"]
    """`coco`: AP over IoU 0.5 to 0.95; `voc07`: 11-point AP; `voc12`: area under the whole curve."""
    area_side: Count = 640
    """Side of the images, px, to which COCO's area ranges are fitted: they are scaled by (area_side / 640) squared."""
    iou: Annotated[float, Field(gt=0, le=1)] = 0.5
    """IoU from which a detection matches an object; VOC variants only."""
    pixels: Literal["inclusive", "exclusive"] = "inclusive"
    """Whether a box includes its last pixel, so that its width is xmax - xmin + 1; VOC variants only."""


class Observers(Spec):
    """Observers that replace those in the options of a row's method."""

    weights: Observer | None = None
    """Finds the first step sizes of weights."""
    activations: Observer | None = None
    """Finds the first step sizes of activations."""


class TierSpec(Spec):
    """The scale at which a suite runs; it changes data, scale and schedule, never a method."""

    data: DataSpec
    data_title: Text | None = None
    """What tables and the report call the data; by default a name made of its folders. It changes no job."""
    metric: Metric
    detectors: dict[str, DetectorScale] = Field(min_length=1)
    """By name of the catalogue: the detectors that rows name, and how they are scaled at this tier."""
    inits: dict[Slug, Init] = {}
    """By row id: weights to start from in place of the detector's `init`."""
    observers: dict[Slug, Observers] = {}
    """By row id, or by kind: observers at this tier, whose schedule may be too short for those of the paper."""
    options: dict[MethodName, dict[str, Any]] = {}
    """By method: options that it has at this tier instead of those that rows declare, such as fewer iterations."""
    recipes: dict[str, Recipe | None] = {}
    """By name: how rows are trained. Null: rows of that recipe are not trained at this tier, they are a checkpoint."""
    calibration: Calibration | None = None
    """Needed if a row has quantizers."""
    calibrations: dict[Slug, Calibration] = {}
    """By row id: calibration images in place of the tier's."""
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 1
    """Number of repetitions, each with another seed."""
    checkpoints: Literal["own", "shared"] = "shared"
    """What a repetition is. `own`: the whole pipeline; repetition k of a row starts from repetition k of the row that
    `start` names, so models that others start from are trained anew each time. `shared`: all repetitions start from
    one model, so intervals say nothing of another one."""
    groups: dict[GroupName, CategoryGroup] = {}
    """By name: groups of categories at this tier, beside those of the suite or in place of them."""

    @model_validator(mode="after")
    def _drawings_are_called_so(self) -> "TierSpec":
        if self.data_title is not None and self.data.kind in SHAPES:
            raise ValueError("`data_title` is for data of your own: generated drawings are always called so")
        return self

    def scale(self, row: Row) -> DetectorScale:
        """The row's detector, with the init that the row starts from; KeyError where the tier lacks the detector."""
        scale, init = self.detectors[row.detector], self.inits.get(row.id)
        return scale if init is None else scale.model_copy(update={"init": init})

    def methods(self, row: Row) -> tuple[MethodUse, ...]:
        """The row's methods, with the observers and options that the tier gives them."""
        observers = self.observers.get(row.id)
        other = {} if observers is None else observers.model_dump(mode="json", exclude_none=True)
        found = []
        for use in row.methods:
            given = (other if other.keys() <= use.options.keys() else {}) | self.options.get(use.name, {})
            found.append(use.model_copy(update={"options": use.options | given}) if given else use)
        return tuple(found)

    def calibration_of(self, row: Row) -> Calibration | None:
        """The row's calibration images."""
        return self.calibrations.get(row.id, self.calibration)

    def recipe(self, row: Row) -> Recipe | None:
        """How the row is trained; None where it is not."""
        return self.recipes.get(row.recipe or "")

    def repetitions(self, row: Row) -> int:
        """How often the row runs."""
        return min(self.seeds, row.repetitions or self.seeds) if self.is_repeated(row) else 1

    def is_repeated(self, row: Row) -> bool:
        """Whether the row runs more than once. A row that starts from no other does so with checkpoints of its own.

        A checkpoint that is not trained here is the same at every repetition; what it is quantized by is not, since
        each repetition draws its calibration images.
        """
        if row.start is not None or not row.bits.is_fp:
            return True
        return self.checkpoints == "own" and self.recipe(row) is not None


class Published(Spec):
    """The published table that the suite reproduces; its numbers are printed beside ours."""

    file: Slug
    """Name of the file `baselines/published/<file>.yaml`."""
    table: Text
    """Id of the table in it."""


class Suite(Spec):
    """One table of one paper; found as `suites/<paper>/<table>.yaml`."""

    title: Text
    """One line."""
    published: Published | None = None
    policies: dict[str, Policy] = {}
    """By name: where rows have quantizers."""
    rows: tuple[Row, ...] = Field(min_length=1)
    """The lines of the table, in order."""
    tiers: dict[Tier, TierSpec] = Field(min_length=1)
    """By name: the scales at which the table can be run."""
    claims: tuple[Claim, ...] = ()
    """What the paper asserts. Each claim is tested on runs paired by repetition."""
    evidence: Evidence | None = None
    """Which claims are tested together, fixed before the runs. Without it all claims are one family, and however many
    repetitions there are count."""
    regime: tuple[Limit, ...] = ()
    """What rows may lose before claims about them are out of the paper's regime."""
    groups: dict[GroupName, CategoryGroup] = {}
    """By name: critical categories. The numbers of each group stand beside the overall ones, in the table and in
    `check`; claims name them as `GROUP.METRIC`. They change no job."""
    core: tuple[Slug, ...] = ()
    """Ids of the rows of a first, shorter table. `--core` restricts a command to them and to what is said of them
    alone."""

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        if re.search(r"[\r\n]", title):
            raise ValueError("the title must be one line")
        return title

    def row(self, row_id: str) -> Row:
        """The row of that id; KeyError where there is none."""
        return {row.id: row for row in self.rows}[row_id]

    def family(self, claim: str) -> tuple[str, Family] | None:
        """The family that a claim is tested in, by name; None in a survey."""
        if self.evidence is None:
            return "all claims", Family(claims=tuple(claim.id for claim in self.claims))
        return next((item for item in self.evidence.families.items() if claim in item[1].claims), None)

    def groups_at(self, tier: Tier) -> dict[str, CategoryGroup]:
        """The groups of categories at a tier: the tier's own have precedence."""
        return self.groups | self.tiers[tier].groups

    def only(self, ids: Collection[str]) -> "Suite":
        """The suite with these rows alone, and with the claims and limits that name no other."""
        return self.model_copy(
            update={
                "rows": tuple(row for row in self.rows if row.id in ids),
                "claims": tuple(claim for claim in self.claims if {*claim.rows} <= {*ids}),
                "regime": tuple(limit for limit in self.regime if {limit.row, limit.reference} <= {*ids}),
            }
        )
