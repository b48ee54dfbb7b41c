"""A record against the baseline's record of the same row and repetition."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench.plan.changes import differences
from bench.records.record import Record
from bench.schema.metric_names import parts
from bench.verdict.faults import headline
from bench.verdict.numbers import numbers
from bench.verdict.tolerances import (
    NOT_CRITICAL,
    Absolute,
    Critical,
    Exact,
    Metrics,
    Peers,
    Statistical,
    Tolerance,
    judge_move,
)
from bench.verdict.verdicts import Status

SHOWN = 3
"""Differences that a message spells out."""


class Comparison(NamedTuple):
    """What came out, and why."""

    status: Status
    message: str


class _Move(NamedTuple):
    """A metric that differs; None where one side lacks it."""

    name: str
    here: float | None
    there: float | None

    @property
    def gain(self) -> float | None:
        """Here more than there; None where one side has no number."""
        return None if self.here is None or self.there is None else self.here - self.there

    def __str__(self) -> str:
        """Both values in percent, and the difference where there is one."""
        text = f"{self.name} {_percent(self.here)}, baseline {_percent(self.there)}"
        return text if self.gain is None else f"{text} ({100 * self.gain:+.4g})"


NO_PEERS = Peers()
EVALUATED = 0.002
"""How far the metric may move between environments where the same weights are evaluated, as a fraction."""


def nearest(here: Record, records: Sequence[Record]) -> Record | None:
    """The one of the same environment, of whose records there is one each; else the first accepted; None of none."""
    same = (record for record in records if record.environment_key == here.environment_key)
    return next(same, next(iter(records), None))


def unlike(here: Record, there: Record) -> Comparison | None:
    """Why two records of a row and repetition are not compared, or differ whatever their numbers; None otherwise."""
    if here.data.pin != there.data.pin:
        message = f"not compared: data pin {_short(here.data.pin)}, there {_short(there.data.pin)}"
        return Comparison("inconclusive", message)
    if here.part("metric") != there.part("metric"):
        what = _listed(_differences(here.part("metric"), there.part("metric"), "metric"))
        return Comparison("inconclusive", f"not compared: {what}")
    if here.identity != there.identity and (parts := _differences(_asked(here), _asked(there))):
        message = f"the baseline is of another protocol ({_listed(parts)}); accept a new one"
        return Comparison("inconclusive", message)
    if moved := _misplaced(here, there):
        return Comparison("changed", f"placement: {_listed(moved)}")
    return None


def compare(
    here: Record,
    there: Record,
    tolerance: Tolerance,
    peers: Peers = NO_PEERS,
    critical: Critical = NOT_CRITICAL,
) -> Comparison | None:
    """Compare `here`, a sound record of the job as planned, with the baseline's; None where only all runs can tell.

    Groups of categories are judged as the whole is, so that none falls behind an AP that stays.

    Equality is promised within one environment only. Between two, weights that are evaluated may move by `EVALUATED`;
    trained ones by a tolerance that the baseline declares, or else as all runs of the row together say.
    """
    if (found := unlike(here, there)) is not None:
        return found
    ours, theirs = numbers(here, critical.groups), numbers(there, critical.groups)
    moves = list(_moves(ours, theirs))
    elsewhere = here.environment_key != there.environment_key
    if not elsewhere and not moves and here.predictions.digest == there.predictions.digest:
        return Comparison("holds", "")
    if isinstance(tolerance, Statistical):
        return None
    if isinstance(tolerance, Exact):
        name = headline(here)
        if not elsewhere:
            return _moved(here, there, moves, critical)
        if name is None or not same_weights(here, there):
            return None
        reason = f"the same weights in another environment{_facts(here, there)}"
        tolerance = Absolute(kind="absolute", metric=name, value=EVALUATED, reason=reason)
    judged = [(one, judge_move(one, ours, theirs, peers)) for one in critical.held(tolerance, ours, theirs)]
    text = "; ".join(f"{found.text} ({one.kind}: {one.reason})" for one, found in judged)
    lost = [name for name in there.metrics if name not in here.metrics]
    if lost or any(found.within is False for _, found in judged):
        moved = _moved(here, there, moves, critical)
        return Comparison(moved.status, f"{moved.message}; {text}")
    return Comparison("inconclusive" if any(found.within is None for _, found in judged) else "holds", text)


def same_weights(here: Record, there: Record) -> bool:
    """Whether both evaluated one checkpoint, quantized after training or not; not where training made the weights."""
    if here.part("recipe"):
        return False
    return not here.part("start") or (here.start_sha256 is not None and here.start_sha256 == there.start_sha256)


def across(here: Record, there: Record) -> str:
    """What can be said of one run in another environment, beside that it is not enough."""
    moves = list(_moves(here.metrics, there.metrics))
    if moves:
        found = _listed([str(move) for move in moves])
    elif here.predictions.digest == there.predictions.digest:
        found = "the predictions are equal all the same"
    else:
        found = "all metrics are equal, the predictions are not"
    return f"another environment{_facts(here, there)}: equality to the bit is promised within one only; {found}"


def _asked(record: Record) -> dict[str, Any]:
    """Its protocol; of predictions from elsewhere without their digest, which is what they are compared for."""
    return {name: value for name, value in record.protocol.items() if name != "predictions"}


def _misplaced(here: Record, there: Record) -> list[str]:
    """Quantizers that one of the two lacks, first those that are gone."""
    sites = [set(record.placement_sites) for record in (here, there)]
    named = [f"no quantizer {site}" for site in sorted(sites[1] - sites[0])] if all(sites) else []
    named += [f"a new quantizer {site}" for site in sorted(sites[0] - sites[1])] if all(sites) else []
    one, other = (None if record.placement is None else record.placement.model_dump() for record in (here, there))
    return [*_differences(one, other), *named]


def _facts(here: Record, there: Record) -> str:
    facts = _listed(_differences(here.environment, there.environment))
    return f" ({facts})" if facts else ""


def _moved(here: Record, there: Record, moves: list[_Move], critical: Critical) -> Comparison:
    """What is not within the tolerance: worse or better by the headline metric, or changed beside it.

    A group's fall decides as one of the whole does, and before any gain.
    """
    same = here.predictions.digest == there.predictions.digest
    order = [headline(here), *critical.metrics]
    moves = sorted(moves, key=lambda move: order.index(move.name) if move.name in order else len(order))
    text = _listed([str(move) for move in moves])
    if same:
        text += "; from the same predictions, so the scoring has changed"
    gains = [move.gain for move in moves if move.name in order and move.gain is not None]
    if gains:
        return Comparison("regressed" if min(gains) < 0 else "improved", text)
    digests = f"predictions {here.predictions.digest[:12]}, baseline {there.predictions.digest[:12]}"
    return Comparison("changed", text or f"{digests}; all metrics are equal")


def _moves(here: Metrics, there: Metrics) -> Iterator[_Move]:
    for name in dict.fromkeys([*here, *there]):
        ours, theirs = here.get(name), there.get(name)
        # A group has a number only where a record tells that of each category, which old ones do not of all.
        if ours != theirs and (parts(name).group is None or None not in (ours, theirs)):
            yield _Move(name, ours, theirs)


def _differences(here: Any, there: Any, path: str = "") -> list[str]:
    """The places in which two JSON values differ, as `recipe.optimizer.lr 0.01, there 0.1`."""
    return [f"{at.path} {at.old}, there {at.new}" for at in differences(here, there, path)]


def _listed(texts: list[str]) -> str:
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return "; ".join(texts[:SHOWN] + more)


def _percent(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.2f}"


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:39]}…" if len(text) > 40 else text
