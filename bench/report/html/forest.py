"""The claims of a suite as a forest plot: each measured difference with its interval, beside the paper's."""

from collections.abc import Iterator
from typing import NamedTuple

from bench.report.claim_words import WORDS, gain, slug
from bench.report.html.axis import Axis, axis, signed
from bench.report.sections import Section
from bench.verdict.claims import ClaimVerdict


class Mark(NamedTuple):
    """One claim; places are percent of the width."""

    found: ClaimVerdict
    sign: str
    status: str
    """As a CSS class."""
    gain: str
    """With its bounds, in words."""
    paper: str
    at: float | None
    low: float | None
    high: float | None
    paper_at: float | None
    runs: tuple[tuple[float, str], ...]
    """Place and words of the difference of each repetition."""


class Forest(NamedTuple):
    """The claims of one family, on one axis in points of the metric."""

    title: str
    scale: Axis
    zero: float
    marks: tuple[Mark, ...]

    @property
    def has_results(self) -> bool:
        """Whether anything was measured of any of its claims."""
        return any(mark.at is not None for mark in self.marks)


def forests(section: Section) -> Iterator[Forest]:
    """One a family, in the order of the claims."""
    judged = section.table.judged
    for grid, family in zip(section.table.claims, dict.fromkeys(found.family for found in judged), strict=True):
        own = [found for found in judged if found.family == family]
        scale = axis((value for found in own for value in _values(found)), zero=True, least=1.0)
        yield Forest(grid.title, scale, scale.at(0.0), tuple(_mark(found, scale) for found in own))


def _values(found: ClaimVerdict) -> Iterator[float]:
    answer = found.answer
    yield from (value for value in (answer.lower, answer.upper, found.claim.published) if value is not None)
    yield from found.differences


def _mark(found: ClaimVerdict, scale: Axis) -> Mark:
    answer, published = found.answer, found.claim.published

    def at(value: float | None) -> float | None:
        return None if value is None else scale.at(value)

    runs = zip(found.repetitions, found.differences, strict=True)
    return Mark(
        found,
        WORDS[found.status].sign,
        slug(found.status),
        gain(found),
        "" if published is None else f"+{published:g}",
        at(answer.mean),
        at(answer.lower if found.family else None),
        at(answer.upper if found.family else None),
        at(published),
        tuple((scale.at(value), f"repetition {n}: {signed(value)}") for n, value in runs),
    )
