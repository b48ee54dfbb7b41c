"""The rules by which paired differences become a verdict on a claim. All values are in points of the metric.

docs/statistics.md has a worked example of each, and the order in which they are asked.
"""

from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import Literal, NamedTuple

from bench.statistics.intervals import prediction_interval
from bench.statistics.paired import ALPHA, POWER, Paired
from bench.statistics.signs import sign_above, sign_below

NEGLIGIBLE = 0.2
"""A gain surely below it, or below half the published one, is none; a bound below it may be next to none."""
MARGIN = 0.5
"""A gain that surely lies between minus and plus this much is equivalent to none."""

Status = Literal["holds", "fails", "equivalent", "inconclusive"]
Size = Literal["agrees", "smaller", "larger"]


class Question(NamedTuple):
    """A claim with what was measured on it."""

    differences: Sequence[float]
    """By repetition, none over images; positive: in the direction that the paper claims."""
    published: float | None = None
    """The gain that the paper prints, above 0; None where it prints none."""
    level: float = ALPHA
    """Of each one-sided bound: the family's level divided by its number of claims (`common_level`)."""
    margin: float = MARGIN


class OverImages(NamedTuple):
    """A difference of two fixed sets of predictions under the paired bootstrap over images; points."""

    difference: float
    bounds: tuple[float, float] | None
    """One-sided each, at the question's level; None where the images are too few, or predictions are not here."""
    error: float | None
    """Standard deviation over replicates."""
    images: int


class Answer(NamedTuple):
    """What may be said of a claim."""

    status: Status
    n: int
    """Pairs, or images."""
    mean: float | None
    """None without a difference."""
    lower: float | None
    """One-sided bound at `level`; None below two differences or without any spread, as all that follows."""
    upper: float | None
    """One-sided bound at `level`."""
    level: float
    detectable: float | None
    """The true gain that a test at `level` finds with 80 % power, the spread being the true one."""
    size: Size | None
    """Where the measured gain lies of the published one: `agrees` where one further pair may give the latter."""
    positive: int | None
    """Differences above 0; None over images, as `sign` and `size`."""
    sign: float | None
    """p of the exact sign test that a gain is as likely as a loss; None without a difference other than 0."""
    negligible: bool = False
    """It holds, but its lower bound is below `NEGLIGIBLE`."""
    equivalent: bool = False
    """The true gain lies within the margin, whatever else is said."""
    near_symmetry: bool = False
    """The sign test does not say the same, so the verdict depends on differences that are nearly symmetric."""

    @property
    def words(self) -> str:
        """The verdict with what limits it."""
        parts: list[str] = [self.status]
        parts += ["perhaps negligible"] if self.negligible else []
        parts += ["equivalent to none"] if self.equivalent and self.status == "fails" else []
        parts += ["depends on near-symmetry"] if self.near_symmetry else []
        return ", ".join(parts)


def common_level(claims: int, alpha: float) -> float:
    """The level of each of so many claims such that all their bounds hold jointly at `alpha` (Bonferroni).

    Whatever the claims have in common: no row of a table is independent of the others.
    """
    return alpha / claims


def failing_bound(published: float | None) -> float:
    """A claim fails where the upper bound of its gain is below it."""
    return NEGLIGIBLE if published is None else min(NEGLIGIBLE, published / 2)


def judge_claim(question: Question) -> Answer:
    """In this order: without spread `inconclusive`; `holds`; `fails`; `equivalent`; else `inconclusive`."""
    values, level = question.differences, question.level
    mean = fmean(values) if values else None
    positive = sum(value > 0 for value in values)
    sign = sign_above(values, 0.0)
    if len(set(values)) < 2:
        # One pair, or equal ones: a bound would claim to be certain.
        return Answer("inconclusive", len(values), mean, None, None, level, None, None, positive, sign)
    paired = Paired.of(values)
    lower, upper = paired.lower(level), paired.upper(level)
    status, equivalent = _status(lower, upper, question)
    return Answer(
        status,
        paired.n,
        paired.mean,
        lower,
        upper,
        level,
        paired.detectable(level),
        _size(question),
        positive,
        sign,
        negligible=status == "holds" and lower < NEGLIGIBLE,
        equivalent=equivalent,
        near_symmetry=not _signs_agree(status, question),
    )


def judge_images(found: OverImages, question: Question) -> Answer:
    """By the same rules as `judge_claim`; the differences of the question are not looked at."""
    answer = Answer("inconclusive", found.images, found.difference, None, None, question.level, None, None, None, None)
    if found.bounds is None or not found.error:
        return answer
    (lower, upper), normal = found.bounds, NormalDist()
    status, equivalent = _status(lower, upper, question)
    return answer._replace(
        status=status,
        lower=lower,
        upper=upper,
        detectable=(normal.inv_cdf(1 - question.level) + normal.inv_cdf(POWER)) * found.error,
        negligible=status == "holds" and lower < NEGLIGIBLE,
        equivalent=equivalent,
    )


def _status(lower: float, upper: float, question: Question) -> tuple[Status, bool]:
    """The verdict of two bounds, and whether the gain lies within the margin."""
    equivalent = -question.margin < lower and upper < question.margin
    if lower > 0:
        return "holds", equivalent
    if upper < failing_bound(question.published):
        return "fails", equivalent
    return "equivalent" if equivalent else "inconclusive", equivalent


def _signs_agree(status: Status, question: Question) -> bool:
    """Whether exact sign tests at the same level say of the median what the bounds say of the mean."""
    values, level = question.differences, question.level

    def above(value: float) -> bool:
        return (sign_above(values, value) or 1.0) <= level

    def below(value: float) -> bool:
        return (sign_below(values, value) or 1.0) <= level

    fails = failing_bound(question.published)
    match status:
        case "holds":
            return above(0.0)
        case "fails":
            return below(fails)
        case "equivalent":
            return above(-question.margin) and below(question.margin)
        case "inconclusive":
            return not above(0.0) and not below(fails)


def _size(question: Question) -> Size | None:
    if question.published is None:
        return None
    low, high = prediction_interval(question.differences)
    if low <= question.published <= high:
        return "agrees"
    return "smaller" if question.published > high else "larger"
