"""Limits on a comparison: how far a metric, or the AP of a category, may fall before a gate fails."""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal, NamedTuple

from bench.errors import UsageError
from bench.statistics.bootstrap import Comparison, Difference

Status = Literal["holds", "fell", "unknown"]
SHOWN = 8
"""Names that a message lists."""


class Limit(NamedTuple):
    """B minus A must not be below `points`."""

    name: str
    """Of a metric, such as `AP`."""
    category: str | None
    points: float

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """From `AP=-0.5` or `AP:person=-2`; UsageError for anything else."""
        what, equals, number = text.rpartition("=")
        name, colon, category = what.partition(":")
        try:
            points = float(number)
        except ValueError:
            points = math.nan
        if not equals or not name or (colon and not category) or not -100 <= points <= 100:
            raise UsageError(f"--fail-below {text}: must be METRIC=POINTS or METRIC:CATEGORY=POINTS, such as AP=-0.5")
        return cls(name, category if colon else None, points)

    def __str__(self) -> str:
        """As it was given, without the number."""
        return self.name if self.category is None else f"{self.name}:{self.category}"


class Held(NamedTuple):
    """A limit with what was measured."""

    limit: Limit
    found: Difference
    status: Status
    """`unknown`: nothing to hold it against."""
    value: float | None
    """What was held against it, points: the difference, or the lower end of its interval."""

    @property
    def words(self) -> str:
        """Such as `AP: fell, -1.02 (42.00 -> 40.98), limit -0.5`."""
        a, b = ("-" if end is None else f"{100 * end:.2f}" for end in (self.found.a, self.found.b))
        difference, low = self.found.difference, self.found.interval
        measured = "no difference is defined" if difference is None else f"{100 * difference:+.2f} ({a} -> {b})"
        end = f", at least {100 * low.low:+.2f}" if low is not None and self.value == 100 * low.low else ""
        return f"{self.limit}: {self.status}, {measured}{end}, limit {self.limit.points:+g}"


def hold(limits: Sequence[Limit], found: Comparison, headline: str, *, bound: bool) -> list[Held]:
    """Each limit against the measured difference, or with `bound` against the lower end of its interval.

    UsageError for a metric or a category that was not compared.
    """
    return [_hold(limit, _sought(limit, found, headline), bound) for limit in limits]


def _hold(limit: Limit, found: Difference, bound: bool) -> Held:
    value = found.difference
    if bound:
        value = None if found.interval is None else found.interval.low
    if value is None:
        return Held(limit, found, "unknown", None)
    points = 100 * value
    # 40.1 - 40.6 is a little below -0.5 in binary.
    return Held(limit, found, "fell" if points < limit.points - 1e-9 else "holds", points)


def _sought(limit: Limit, found: Comparison, headline: str) -> Difference:
    if limit.category is None:
        return _named(limit, "metric", limit.name, found.metrics)
    if limit.name != headline:
        raise UsageError(f"--fail-below {limit}: categories have {headline} alone; write {headline}:{limit.category}")
    return _named(limit, "category", limit.category, found.per_category)


def _named(limit: Limit, what: str, name: str, known: Mapping[str, Difference]) -> Difference:
    if name in known:
        return known[name]
    names = list(dict.fromkeys([*get_close_matches(name, known), *known]))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise UsageError(f"--fail-below {limit}: no {what} {name!r}; there are {', '.join(names[:SHOWN])}{more}")
