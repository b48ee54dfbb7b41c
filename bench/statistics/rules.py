"""The rules by which numbers become verdicts on published numbers and on claims. All values are in points of mAP.

docs/statistics.md has a worked example of each.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from bench.statistics.intervals import Interval, prediction_interval
from bench.statistics.paired import ALPHA, Paired, holm_levels

MARGIN_EVALUATED = 0.1
"""Where a published checkpoint is only evaluated: rounding of the print, other image decoders and resizers."""
MARGIN_TRAINED = 0.5
"""Where we train: other code, libraries and devices than the authors'."""
NEGLIGIBLE = 0.2
"""A gain surely below it, or below half the published one, is none."""

ReferenceStatus = Literal["reproduced", "not reproduced", "inconclusive"]
ClaimStatus = Literal["holds", "fails", "inconclusive"]
Size = Literal["agrees", "smaller", "larger"]


class Reproduction(NamedTuple):
    """A published number against our runs."""

    status: ReferenceStatus
    interval: Interval | None
    """Where one further run would lie, the margin added; None where there is none."""
    why: str


def judge_reference(runs: Sequence[float], published: float, *, trained: bool) -> Reproduction:
    """A published number is one draw of its authors': it is compared with a prediction interval of our runs.

    One run of training has no interval, so it is at best `inconclusive`; an evaluation of a published checkpoint
    does not vary, so one run is enough, and the margin alone is the interval.
    """
    margin = MARGIN_TRAINED if trained else MARGIN_EVALUATED
    mean = fmean(runs)
    if trained and len(runs) < 2:
        why = f"{mean:.2f}, published {published:g}: one run has no interval over seeds"
        return Reproduction("inconclusive", None, why)
    if len(runs) < 2:
        interval = Interval(mean - margin, mean + margin)
        what = f"{mean:.2f} ± {margin} (margin of an evaluation)"
    else:
        interval = prediction_interval(runs, margin=margin)
        half = interval.half_width - margin
        what = f"{mean:.2f} ± {half:.2f} (95 % for one further run, from {len(runs)}) ± {margin} (margin)"
    # Rounded well below what is printed, so that 50.3 - 0.1 takes in 50.2.
    inside = round(interval.low, 9) <= published <= round(interval.high, 9)
    return Reproduction("reproduced" if inside else "not reproduced", interval, f"{what}; published {published:g}")


class Question(NamedTuple):
    """A claim with what was measured on it."""

    differences: Sequence[float]
    """By seed; positive: in the direction that the paper claims."""
    published: float | None
    """The gain that the paper prints, above 0; None where it prints none."""


class Answer(NamedTuple):
    """What may be said of a claim."""

    status: ClaimStatus
    n: int
    mean: float | None
    """None without a difference."""
    lower: float | None
    """One-sided bound at `lower_level`; None below two differences, as all that follows."""
    lower_level: float | None
    """The alpha that Holm's procedure gives this claim among those of its table."""
    upper: float | None
    upper_level: float | None
    detectable: float | None
    """The true gain that a test at `lower_level` finds with 80 % power."""
    size: Size | None
    """Where the measured gain lies of the published one: `agrees` where one further pair may give the latter."""


def failing_bound(published: float | None) -> float:
    """A claim fails where the upper bound of its gain is below it."""
    return NEGLIGIBLE if published is None else min(NEGLIGIBLE, published / 2)


def judge_claims(questions: Sequence[Question], alpha: float = ALPHA) -> list[Answer]:
    """All claims of one table, with Holm's correction over those that have two differences or more."""
    tested = {i: Paired.of(q.differences) for i, q in enumerate(questions) if len(q.differences) > 1}
    holds = dict(zip(tested, holm_levels([p.p_above(0.0) for p in tested.values()], alpha), strict=True))
    below = [p.p_below(failing_bound(questions[i].published)) for i, p in tested.items()]
    fails = dict(zip(tested, holm_levels(below, alpha), strict=True))
    return [
        _answer(question, tested[i], holds[i], fails[i]) if i in tested else _untested(question)
        for i, question in enumerate(questions)
    ]


def _answer(question: Question, paired: Paired, to_hold: float, to_fail: float) -> Answer:
    lower, upper = paired.lower(to_hold), paired.upper(to_fail)
    status: ClaimStatus = "inconclusive"
    if lower > 0:
        status = "holds"
    elif upper < failing_bound(question.published):
        status = "fails"
    size = _size(question)
    found = paired.detectable(to_hold)
    return Answer(status, paired.n, paired.mean, lower, to_hold, upper, to_fail, found, size)


def _size(question: Question) -> Size | None:
    if question.published is None:
        return None
    low, high = prediction_interval(question.differences)
    if low <= question.published <= high:
        return "agrees"
    return "smaller" if question.published > high else "larger"


def _untested(question: Question) -> Answer:
    mean = fmean(question.differences) if question.differences else None
    return Answer("inconclusive", len(question.differences), mean, None, None, None, None, None, None)
