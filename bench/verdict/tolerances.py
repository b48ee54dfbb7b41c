"""How far a row may move from its baseline, by kind; every kind but `exact` says why beside it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from bench.schema.base import Spec
from bench.statistics.intervals import Interval, prediction_interval

Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Metrics = Mapping[str, float]


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
    """Each run lies where further runs of the baseline's row would: a 95 % prediction interval for all together."""

    kind: Literal["statistical"]
    metric: Name
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added on both sides, as a fraction."""
    reason: Name


Tolerance = Annotated[Exact | Absolute | Ratio | Statistical, Field(discriminator="kind")]


class Tolerances(Spec):
    """How far the rows of one tier may move: a baseline is of one tier."""

    default: Tolerance = Exact()
    """Of every row without one of its own."""
    rows: dict[str, Tolerance] = Field(default_factory=dict)

    def of(self, row: str) -> Exact | Absolute | Ratio | Statistical:
        """The tolerance of a row."""
        return self.rows.get(row, self.default)


class Peers(NamedTuple):
    """What a tolerance looks at beside the two records."""

    here: Mapping[str, Metrics] = {}
    """By row, of this repetition or the row's only one."""
    there: Mapping[str, Metrics] = {}
    """The same of the baseline."""
    runs: Sequence[Metrics] = ()
    """All of the baseline's runs of the row."""


class Judged(NamedTuple):
    """Whether a move is within a tolerance; `within` is None where that cannot be told."""

    within: bool | None
    text: str


def judge_move(tolerance: Absolute | Ratio | Statistical, here: Metrics, there: Metrics, peers: Peers) -> Judged:
    """A run's metric against the baseline's under a tolerance; an absent or undefined one is not within any."""
    ours, theirs = _value(here, tolerance.metric), _value(there, tolerance.metric)
    if ours is None or theirs is None:
        return Judged(False, f"{tolerance.metric} is undefined")
    match tolerance:
        case Absolute():
            return _close(ours, theirs, tolerance.value, tolerance.metric, "points", 100)
        case Ratio():
            below = [_value(side.get(tolerance.row, {}), tolerance.metric) for side in (peers.here, peers.there)]
            if not below[0] or not below[1]:
                return Judged(None, f"row {tolerance.row} has no {tolerance.metric} to divide by on both sides")
            name = f"{tolerance.metric} / {tolerance.row}"
            return _close(ours / below[0], theirs / below[1], tolerance.value, name, "%", 100)
        case Statistical():
            return _predicted(ours, tolerance, peers)


def _close(here: float, there: float, value: float, name: str, unit: str, scale: int) -> Judged:
    text = f"{name} {scale * here:.2f}, baseline {scale * there:.2f} {unit}, tolerance {scale * value:g}"
    # 0.5 - 0.499 is a little above 0.001 in binary.
    return Judged(abs(here - there) <= value + 1e-12, text)


def _predicted(ours: float, tolerance: Statistical, peers: Peers) -> Judged:
    values = [value for run in peers.runs if (value := _value(run, tolerance.metric)) is not None]
    if len(values) < 2:
        return Judged(None, f"the baseline has {len(values)} run of the row: a statistical tolerance needs two")
    # Bonferroni: so many runs are compared with the same interval.
    interval = prediction_interval(values, level=1 - 0.05 / len(values), margin=tolerance.margin)
    ends = Interval(100 * interval.low, 100 * interval.high)
    predicted = f"baseline's {len(values)} runs predict {ends.low:.2f} to {ends.high:.2f}"
    text = f"{tolerance.metric} {100 * ours:.2f}, {predicted}"
    return Judged(ours in interval, text)


def _value(metrics: Metrics, name: str) -> float | None:
    value = metrics.get(name)
    return value if value is not None and 0 <= value <= 1 else None
