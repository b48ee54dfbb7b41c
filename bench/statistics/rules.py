"""The rule by which numbers become a verdict on a published number. All values are in points of mAP.

docs/statistics.md has a worked example; the rules on claims stand in `bench.statistics.claims`.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from bench.statistics.intervals import Interval, prediction_interval

MARGIN_EVALUATED = 0.1
"""Where a published checkpoint is only evaluated: rounding of the print, other image decoders and resizers."""
MARGIN_TRAINED = 0.5
"""Where we train: other code, libraries and devices than the authors'."""

ReferenceStatus = Literal["reproduced", "not reproduced", "inconclusive"]


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
