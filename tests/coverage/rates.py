"""A measured rate with its own error, and the bar that it must meet."""

import math
from typing import Any, NamedTuple


class Bar(NamedTuple):
    """From and to, both met."""

    low: float
    high: float
    errors: int = 0
    """So many standard errors of the rate may it lie outside: for a rate that is nominally at the edge of its bar, or
    is measured on few data sets."""


class Rate(NamedTuple):
    """Of so many trials so many."""

    what: str
    hits: int
    trials: int
    bar: Bar | None
    """None: measured, not judged."""
    facts: dict[str, float] | None = None
    """What else was measured on the way."""

    @property
    def value(self) -> float:
        return self.hits / self.trials

    @property
    def error(self) -> float:
        """Standard error of a binomial rate."""
        return math.sqrt(self.value * (1 - self.value) / self.trials)

    @property
    def met(self) -> bool | None:
        """Whether the rate meets its bar."""
        if self.bar is None:
            return None
        more = self.bar.errors * self.error
        return self.bar.low - more <= self.value <= self.bar.high + more

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "hits": self.hits,
            "trials": self.trials,
            "rate": self.value,
            "error": self.error,
            "bar": None if self.bar is None else self.bar._asdict(),
            "met": self.met,
            **({"facts": self.facts} if self.facts else {}),
        }
