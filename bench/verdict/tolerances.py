"""How far a row may move from its baseline, by kind; every kind but `exact` says why beside it."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Annotated, Literal, NamedTuple, TypeVar, cast

from pydantic import Field

from bench.schema.base import Spec
from bench.schema.group import NO_GROUPS, Groups
from bench.statistics.intervals import prediction_interval

Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Metrics = Mapping[str, float]
LEAST_RUNS = 5
"""Of each side of a statistical comparison."""


class Exact(Spec):
    """All metrics and the predictions are equal."""

    kind: Literal["exact"] = "exact"


class Absolute(Spec):
    """One metric may move by `value`."""

    kind: Literal["absolute"]
    metric: Name
    value: Fraction
    """As a fraction: 0.001 is 0.1 point."""
    reason: Name


class Ratio(Spec):
    """The metric divided by that of another row of the same stack, such as FP, may move by `value`."""

    kind: Literal["ratio"]
    metric: Name
    row: Name
    """Whose run of the same repetition, or its only one, stands below the fraction."""
    value: Fraction
    """0.01: what FP keeps may move by 1 %."""
    reason: Name


class Statistical(Spec):
    """The mean of the runs lies where that of as many further runs of the baseline's row would (95 %)."""

    kind: Literal["statistical"]
    metric: Name
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added on both sides, as a fraction."""
    reason: Name


Tolerance = Annotated[Exact | Absolute | Ratio | Statistical, Field(discriminator="kind")]


H = TypeVar("H", bound=Absolute | Ratio | Statistical)


class Tolerances(Spec):
    """How far the rows of one tier may move: a baseline is of one tier."""

    default: Tolerance = Exact()
    """Of every row without one of its own."""
    rows: dict[str, Tolerance] = Field(default_factory=dict)
    """By row. `ROW:GROUP.METRIC`, or `*:GROUP.METRIC` for every row, is that of a number of a group of categories."""

    def of(self, row: str) -> Exact | Absolute | Ratio | Statistical:
        """The tolerance of a row."""
        return self.rows.get(row, self.default)

    def critical(self, row: str, groups: Groups, headline: str | None) -> "Critical":
        """What the groups of categories of a row may do."""
        declared = {
            metric: tolerance
            for owner in ("*", row)  # the row's own have precedence
            for key, tolerance in self.rows.items()
            if (metric := key.removeprefix(f"{owner}:")) != key
        }
        return Critical(groups, tuple(f"{group}.{headline}" for group in groups), declared)


class Critical(NamedTuple):
    """Groups of categories that are judged beside the whole: a row holds only where all of them do."""

    groups: Groups = NO_GROUPS
    metrics: tuple[str, ...] = ()
    """The headline metric of each group."""
    declared: Mapping[str, Tolerance] = {}
    """By metric of a group: how far it may move."""

    def held(self, tolerance: H, *sides: Metrics) -> list[H]:
        """The row's tolerance, and beside it that of each group: declared, or the row's own on the group's metric.

        Of a group that no side has a number of nothing is said.
        """
        found = [tolerance]
        for metric in dict.fromkeys([*self.metrics, *self.declared]):
            if any(_value(side, metric) is not None for side in sides):
                own = self.declared.get(metric)
                fits = own is not None and own.kind == tolerance.kind
                found.append(cast(H, own if fits else tolerance.model_copy(update={"metric": metric})))
        return found


NOT_CRITICAL = Critical()


class Peers(NamedTuple):
    """What a tolerance looks at beside the two records."""

    here: Mapping[str, Metrics] = {}
    """By row, of this repetition or the row's only one."""
    there: Mapping[str, Metrics] = {}
    """The same of the baseline."""


class Judged(NamedTuple):
    """Whether a move is within a tolerance; `within` is None where that cannot be told."""

    within: bool | None
    text: str


def judge_move(tolerance: Absolute | Ratio, here: Metrics, there: Metrics, peers: Peers) -> Judged:
    """A run's metric against the baseline's under a tolerance; an absent or undefined one is not within any."""
    ours, theirs = _value(here, tolerance.metric), _value(there, tolerance.metric)
    if ours is None or theirs is None:
        return Judged(False, f"{tolerance.metric} is undefined")
    if isinstance(tolerance, Absolute):
        return _close(ours, theirs, tolerance.value, tolerance.metric, "points", 100)
    below = [_value(side.get(tolerance.row, {}), tolerance.metric) for side in (peers.here, peers.there)]
    if not below[0] or not below[1]:
        return Judged(None, f"row {tolerance.row} has no {tolerance.metric} to divide by on both sides")
    name = f"{tolerance.metric} / {tolerance.row}"
    return _close(ours / below[0], theirs / below[1], tolerance.value, name, "%", 100)


def _close(here: float, there: float, value: float, name: str, unit: str, scale: int) -> Judged:
    text = f"{name} {scale * here:.2f}, baseline {scale * there:.2f} {unit}, tolerance {scale * value:g}"
    # 0.5 - 0.499 is a little above 0.001 in binary.
    return Judged(abs(here - there) <= value + 1e-12, text)


class JudgedRuns(NamedTuple):
    """What the runs of a row say of the baseline's."""

    within: bool
    move: float
    """Of the mean, points."""
    visible: float
    """The smallest move of the mean that lies outside, points, rounded up."""
    text: str


def judge_runs(
    tolerance: Statistical, here: Sequence[Metrics], there: Sequence[Metrics], rows: int = 1
) -> JudgedRuns | None:
    """The mean of the runs here against a prediction interval from the baseline's; None below five runs on a side.

    Only the baseline's spread counts: a run here that went wrong must not widen what is allowed. `rows` are judged
    together, so that 5 % is the chance that any of them is called moved without being so (Bonferroni).
    """
    ours, theirs = _values(here, tolerance.metric), _values(there, tolerance.metric)
    if min(len(ours), len(theirs)) < LEAST_RUNS:
        return None
    interval = prediction_interval(theirs, 1 - 0.05 / rows, tolerance.margin, further=len(ours))
    mean, middle = fmean(ours), fmean(theirs)
    visible = (math.floor(1e4 * interval.half_width) + 1) / 100
    text = (
        f"{tolerance.metric} {100 * mean:.2f} (mean of {len(ours)} runs), baseline {100 * middle:.2f} (of "
        f"{len(theirs)}), {100 * (mean - middle):+.2f}; the smallest regression that this sees is {visible:.2f} points"
    )
    return JudgedRuns(mean in interval, 100 * (mean - middle), visible, text)


def _values(runs: Sequence[Metrics], name: str) -> list[float]:
    return [value for run in runs if (value := _value(run, name)) is not None]


def _value(metrics: Metrics, name: str) -> float | None:
    value = metrics.get(name)
    return value if value is not None and 0 <= value <= 1 else None
