"""The paired bootstrap of one claim over images, from the predictions of its two rows."""

import os
from collections.abc import Mapping
from typing import Any

from bench.errors import BenchError
from bench.schema.base import parse
from bench.schema.group import NO_GROUPS, Groups
from bench.schema.metric_names import parts
from bench.schema.suite import Metric
from bench.verdict.gather import Results
from bench.verdict.images import Task, compare_detections
from bench.verdict.kept_differences import KeptDifference
from bench.verdict.pairs import Pair
from bench.verdict.sides import data_at, detections_of, refuse_different, side_of


def bootstrapped(results: Results, metric: str, of: Mapping[str, Any], pair: Pair, groups: Groups) -> KeptDifference:
    """The first row minus the second; `of` says by how many replicates, from which seed, and at which level.

    Raises BenchError where data or predictions are not here, or are no longer those of the records.
    """
    root = results.located.root
    better, worse = (side_of(root, run.record) for run in pair.runs)
    refuse_different(better, worse, ("data", "metric"))
    detections = detections_of(worse), detections_of(better)
    gt = data_at(better, results.located, results.tier).coco
    group = parts(metric).group
    wanted = NO_GROUPS if group is None else {group: groups[group]}
    # Both ends of a two-sided interval at 1 - 2a are one-sided bounds at a.
    task = Task(of["replicates"], of["seed"], os.cpu_count() or 1, of["few"], wanted, 1 - 2 * of["level"])
    scored = parse(Metric, better.record.part("metric"))
    comparison = compare_detections(gt, *detections, scored, task, (worse, better))
    found = comparison.metrics[metric]
    if found.difference is None:
        raise BenchError(f"{metric} is undefined on these data")
    low, high = (None, None) if found.interval is None else found.interval
    return KeptDifference(
        of=dict(of),
        difference=found.difference,
        lower=low,
        upper=high,
        error=found.error,
        images=comparison.images,
        bearing=found.images,
    )
