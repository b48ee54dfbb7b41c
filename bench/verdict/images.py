"""Two records of one data set and metric, by their saved predictions, under the paired image bootstrap.

Imports no torch.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError
from bench.evaluation.boxes import Detections
from bench.evaluation.groups import group_numbers
from bench.evaluation.metric import metric_of
from bench.schema.base import parse
from bench.schema.group import FEW, NO_GROUPS, Groups
from bench.schema.load import load_suite
from bench.schema.metric_names import parts
from bench.schema.suite import Metric
from bench.statistics.bootstrap import Comparison, Difference, compare_images
from bench.statistics.intervals import LEVEL
from bench.verdict.gather import gather
from bench.verdict.groups import Resolved, resolve
from bench.verdict.sides import Side, data_of, detections_of, refuse_different

SAME = 1e-9
"""A record's metrics and those of its predictions differ by less."""


class Task(NamedTuple):
    """How to compare; `jobs` threads for the replicates."""

    replicates: int
    seed: int
    jobs: int
    few: int = FEW
    """As `Comparison` has it."""
    groups: Groups = NO_GROUPS
    """Whose numbers are compared beside those of all categories."""
    level: float = LEVEL
    """Of the two-sided intervals."""


def compare_records(
    a: Side, b: Side, root: Path, task: Task, choose: Callable[[Mapping[str, Any]], Groups] = lambda gt: NO_GROUPS
) -> tuple[Comparison, Metric]:
    """B minus A, with the metric that both were scored by; `choose` names the groups, which are of the ground truth.

    Raises UsageError where data pin, reading rules or metric differ, BenchError where data or predictions are not
    here, or are no longer those of the records.
    """
    refuse_different(a, b, ("data", "metric"))
    metric = parse(Metric, a.record.part("metric"))
    gt = data_of(a, root).coco
    task = task._replace(groups=choose(gt))
    return compare_detections(gt, detections_of(a), detections_of(b), metric, task, (a, b)), metric


def groups_of_sides(sides: Sequence[Side], root: Path) -> dict[str, Resolved]:
    """The groups of the suites that the records were made for; the first has precedence."""
    found: dict[str, Resolved] = {}
    for asked in dict.fromkeys(side.record.provenance.asked for side in sides):
        located = None if asked is None else load_suite(asked.suite, root)
        tier = next((t for t in located.suite.tiers if asked and t == asked.tier), None) if located else None
        if located is not None and tier is not None and located.suite.groups_at(tier):
            found = resolve(gather(located, tier)) | found
    return found


def compare_detections(
    gt: Mapping[str, Any], a: Detections, b: Detections, metric: Metric, task: Task, sides: Sequence[Side] = ()
) -> Comparison:
    """B minus A of two lists of detections; `sides` are the records whose metrics they must give.

    Raises UsageError for an impossible IoU, BenchError for a detection on an image or of a category that `gt` lacks.
    """
    scored = metric_of(metric)
    one, two = scored.match(gt, a), scored.match(gt, b)
    points = scored.score(gt, a), scored.score(gt, b)
    comparison = compare_images(one, two, scored, *task)
    metrics = [one.metrics | group_numbers(scored, one.per_category, task.groups) for one in points]
    comparison = comparison._replace(
        metrics=_at_points(comparison.metrics, metrics),
        per_category=_at_points(
            comparison.per_category,
            [{name: values["AP"] for name, values in scores.per_category.items()} for scores in points],
        ),
    )
    for index, side in enumerate(sides):
        _confirm(side, comparison, index)
    return comparison


def _at_points(found: Mapping[str, Difference], points: Sequence[Mapping[str, float]]) -> dict[str, Difference]:
    """The numbers of the whole set are those of the scorer, to the last bit; those of the resampler confirm them."""
    stated = {}
    for name, difference in found.items():
        a, b = (None if side[name] == -1 else side[name] for side in points)
        for ours, scored in ((difference.a, a), (difference.b, b)):
            if (ours is None) != (scored is None) or abs((ours or 0.0) - (scored or 0.0)) > SAME:
                raise BenchError(f"{name} is {scored} by the scorer and {ours} by the resampler; please report this")
        between = None if difference.difference is None or a is None or b is None else b - a
        stated[name] = difference._replace(a=a, b=b, difference=between)
    return stated


def _confirm(side: Side, comparison: Comparison, index: int) -> None:
    """A number that a record states must follow from its predictions."""
    for name, found in comparison.metrics.items():
        if parts(name).group is not None:
            continue  # a mean over categories, which no record states
        value = found[index]
        stated, here = side.record.metrics.get(name), -1.0 if value is None else value
        if stated is None or not isinstance(here, float) or abs(stated - here) > SAME:
            raise BenchError(f"{side.name}: its record has {name} {stated}, its predictions give {here}")
