"""Where a number lies on a drawing: in percent of its width or height, so that a drawing fits any screen."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

STEPS = (1.0, 2.0, 5.0, 10.0)
MARGIN = 4.0
"""Percent that stays free at both ends."""


SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""


class Tick(NamedTuple):
    """A mark on an axis."""

    at: float
    label: str


class Axis(NamedTuple):
    """A range of values, drawn from left to right or from bottom to top."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Percent from the low end; what lies outside stands at the edge."""
        return _place(min(max(value, self.low), self.high), self.low, self.high, self.logarithmic)


def axis(values: Iterable[float], *, zero: bool = False, about: int = 5, least: float = 0.0) -> Axis:
    """Over all values, with `about` so many round ticks; `zero`: 0 is on it; `least`: the smallest range."""
    found = [value for value in values if math.isfinite(value)] + ([0.0] if zero else [])
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if (lacking := max(least, abs(high) * 1e-3, 1e-9) - (high - low)) > 0:
        below = lacking / 2 if low < 0 else min(lacking / 2, low)  # what is never negative has no such ticks
        low, high = low - below, high + lacking - below
    step = _round_step((high - low) / about)
    low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    marks = [low + k * step for k in range(round((high - low) / step) + 1)]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return Axis(low, high, tuple(Tick(_place(m, low, high, False), with_minus(f"{m:.{digits}f}")) for m in marks))


def log_axis(values: Iterable[float], unit: str = "") -> Axis:
    """Over positive values, a tick at each power of ten, and at 2 and 5 where there are few."""
    found = [value for value in values if value > 0]
    low, high = (min(found) / 1.2, max(found) * 1.2) if found else (1.0, 10.0)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > 300 else (1, 2, 5)
    marks = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]
    return Axis(low, high, tuple(Tick(_place(m, low, high, True), short(m, ".3g") + unit) for m in marks), True)


def signed(value: float) -> str:
    """With its sign and two decimals; what rounds to 0 has no sign."""
    return with_minus(f"{value:+.2f}") if round(value, 2) else "0.00"


def with_minus(text: str) -> str:
    """A true minus in place of a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def minus(text: str) -> str:
    """A true minus before each negative number of a sentence; names and options keep their hyphens."""
    return re.sub(r"(?<![\w-])-(?=\.?\d)", "\N{MINUS SIGN}", text)


def short(value: float, digits: str = "#.3g") -> str:
    """`1.20 M`: three digits and a prefix of a thousand."""
    for power, prefix in ((12, f"{SPACE}T"), (9, f"{SPACE}G"), (6, f"{SPACE}M"), (3, f"{SPACE}k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:{digits}}".rstrip(".") + prefix
    return f"{value:.3g}"


def _place(value: float, low: float, high: float, logarithmic: bool) -> float:
    if logarithmic:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return round(MARGIN + (100 - 2 * MARGIN) * (value - low) / (high - low), 2)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * step for step in STEPS if power * step >= rough * (1 - 1e-9))
