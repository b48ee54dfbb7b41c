"""The cells of a results table: a mean with half its interval, always in one cell."""

from collections.abc import Sequence
from statistics import fmean

from bench.records.record import Record
from bench.report.wording import percent
from bench.statistics.intervals import seed_interval

ONE_RUN = "†"
"""Behind a number that one run gave."""
ONE_RUN_NOTE = f"{ONE_RUN} one run: it has no interval, so a difference from it says little."
INTERVAL_NOTES = {
    "own": (
        "±: half the 95 % interval of the mean over repetitions (Student's t), each the whole pipeline with a "
        "full-precision training of its own (checkpoints: own). It conditions on this data set."
    ),
    "shared": (
        "±: half the 95 % interval of the mean over training seeds (Student's t). All start from one full-precision "
        "model (checkpoints: shared), so it says nothing of another model, nor of other data."
    ),
}
BEST_NOTE = (
    "Best: the mean of each run's best evaluation, during training or after it; it is chosen on the very images that "
    "score it, as HQOD reports its epochs. Every other number is of the last step, and so are claims and baselines."
)


def mean_cell(records: Sequence[Record], metric: str) -> str:
    """`46.56 ± 0.31`; `46.56 †` of one run, `46.56` where nothing varies from run to run; empty without any."""
    values = [100 * r.metrics[metric] for r in records if r.metrics.get(metric, -1) >= 0]
    if not values:
        return ""
    mean = f"{fmean(values):.2f}"
    if len(values) > 1:
        return f"{mean} ± {seed_interval(values).half_width:.2f}"
    return mean if records[0].kind == "external" or records[0].is_evaluation else f"{mean} {ONE_RUN}"


def best_cell(records: Sequence[Record], metric: str) -> str:
    """The mean of the best evaluations; empty where a run was not scored during training."""
    found = [record.best(metric) for record in records]
    values = [best.metrics[metric] for best in found if best is not None]
    return percent(fmean(values)) if values and len(values) == len(records) else ""
