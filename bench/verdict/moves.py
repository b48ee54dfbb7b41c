"""A record against the baseline's record of the same row and repetition."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.plan.changes import differences
from bench.records.record import Record
from bench.verdict.faults import headline
from bench.verdict.tolerances import Absolute, Exact, Peers, Ratio, Statistical, judge_move
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

    def __str__(self) -> str:
        """Both values in percent, and the difference where there is one."""
        text = f"{self.name} {_percent(self.here)}, baseline {_percent(self.there)}"
        if self.here is None or self.there is None:
            return text
        return f"{text} ({100 * (self.here - self.there):+.4g})"


NO_PEERS = Peers()


def compare(
    here: Record, there: Record, tolerance: Exact | Absolute | Ratio | Statistical, peers: Peers = NO_PEERS
) -> Comparison:
    """Compare `here`, a sound record of the job as planned, with the baseline's.

    Equality is promised within one environment only; a ratio within one stack and an interval of several runs are
    meant for two of them.
    """
    if here.data.pin != there.data.pin:
        message = f"not compared: data pin {_short(here.data.pin)}, there {_short(there.data.pin)}"
        return Comparison("inconclusive", message)
    if here.part("metric") != there.part("metric"):
        what = _listed(_differences(here.part("metric"), there.part("metric"), "metric"))
        return Comparison("inconclusive", f"not compared: {what}")
    if here.identity != there.identity:
        what = _listed(_differences(here.protocol, there.protocol)) or "its form"
        message = f"the baseline is of another protocol ({what}); accept a new one"
        return Comparison("inconclusive", message)
    moves = list(_moves(here, there))
    elsewhere = here.environment_key != there.environment_key
    if elsewhere and isinstance(tolerance, Exact | Absolute):
        return Comparison("inconclusive", _across(here, there, moves))
    same = here.predictions.digest == there.predictions.digest
    if not elsewhere and not moves and same:
        return Comparison("holds", "")
    if isinstance(tolerance, Exact):
        return _moved(here, there, moves)
    judged = judge_move(tolerance, here.metrics, there.metrics, peers)
    text = f"{judged.text} ({tolerance.kind}: {tolerance.reason})"
    if judged.within is None:
        return Comparison("inconclusive", text)
    lost = [name for name in there.metrics if name not in here.metrics]
    if judged.within and not lost:
        return Comparison("holds", text)
    moved = _moved(here, there, moves)
    return Comparison(moved.status, f"{moved.message}; {text}")


def _moved(here: Record, there: Record, moves: list[_Move]) -> Comparison:
    """What is not within the tolerance: worse or better by the headline metric, or changed beside it."""
    same = here.predictions.digest == there.predictions.digest
    name = headline(here)
    text = _listed([str(move) for move in sorted(moves, key=lambda m: m.name != name)])
    if same:
        text += "; from the same predictions, so the scoring has changed"
    for move in moves:
        if move.name == name and move.here is not None and move.there is not None:
            return Comparison("regressed" if move.here < move.there else "improved", text)
    digests = f"predictions {here.predictions.digest[:12]}, baseline {there.predictions.digest[:12]}"
    return Comparison("changed", text or f"{digests}; all metrics are equal")


def _across(here: Record, there: Record, moves: list[_Move]) -> str:
    facts = _listed(_differences(here.environment, there.environment))
    what = f" ({facts})" if facts else ""
    if moves:
        found = _listed([str(move) for move in moves])
    elif here.predictions.digest == there.predictions.digest:
        found = "the predictions are equal all the same"
    else:
        found = "all metrics are equal, the predictions are not"
    return f"another environment{what}: equality to the bit is promised within one only; {found}"


def _moves(here: Record, there: Record) -> Iterator[_Move]:
    for name in dict.fromkeys([*here.metrics, *there.metrics]):
        ours, theirs = here.metrics.get(name), there.metrics.get(name)
        if ours != theirs:
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
