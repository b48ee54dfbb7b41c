"""A measured rate with its own error, and the bar that it must meet."""

import math
from typing import Any, NamedTuple

Z = 1.959964
"""Two-sided 95 % of a normal distribution."""


class Bar(NamedTuple):
    """From and to, both met."""

    low: float
    high: float
    reach: bool = False
    """The rate's own interval must reach the bar, not the rate: for one that is nominally at the bar's edge, or is
    measured on few data sets."""
    most: float = 1.0
    """The upper end of the rate's own interval lies below it."""


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
    def interval(self) -> tuple[float, float]:
        """Of the true rate, 95 %: Wilson, "Probable Inference", JASA 22 (1927), since some rates are 0 or 1."""
        z2 = Z * Z / self.trials
        middle = (self.value + z2 / 2) / (1 + z2)
        half = math.sqrt(z2 * self.value * (1 - self.value) + z2 * z2 / 4) / (1 + z2)
        # Rounding must not leave a rate of 0 or 1 outside of its own interval.
        return min(self.value, max(0.0, middle - half)), max(self.value, min(1.0, middle + half))

    @property
    def met(self) -> bool | None:
        """Whether the rate meets its bar."""
        if self.bar is None:
            return None
        low, high = self.interval if self.bar.reach else (self.value, self.value)
        return low <= self.bar.high and self.bar.low <= high and self.interval[1] <= self.bar.most

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "hits": self.hits,
            "trials": self.trials,
            "rate": self.value,
            "interval": list(self.interval),
            "bar": None if self.bar is None else self.bar._asdict(),
            "met": self.met,
            **({"facts": self.facts} if self.facts else {}),
        }
