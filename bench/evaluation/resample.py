"""Metrics of resampled image sets, from one matching pass.

A resample is a weight for each image: how often it occurs. It stands for the set in which an image of weight w
is there w times in a row, under ascending ids, the order of images kept; replicates equal what pycocotools says of
that set. Copies of a detection follow one another in its ranking, so only the last of them can set the precision at
a recall: precision rises over copies of a hit and falls over those of a miss. Only detections of one image with
equal scores are interleaved by copying, and those are walked copy by copy.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import numba
import numpy as np
import numpy.typing as npt

from bench.evaluation.matching import Matches, Ranked
from bench.evaluation.metric import BoxMetric
from bench.evaluation.voc import HIT, MISS
from bench.schema.group import NO_GROUPS, Groups

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

RECALL_LIMITS = (1, 10, 100)
"""Detections of an image and category that AR1, AR10 and AR100 count."""


class Resampled(NamedTuple):
    """R replicates; NaN where undefined: a category without an object in a replicate is left out of its means."""

    metrics: dict[str, Floats]
    """R each, under the names that scoring has."""
    per_category: dict[str, Floats]
    """AP, R each, by category."""


def resample(
    matches: Matches, weights: Ints, metric: BoxMetric, jobs: int = 1, groups: Groups = NO_GROUPS
) -> Resampled:
    """Every metric of each replicate, over all categories and over those of each group.

    Args:
        matches: made by the same metric's `match`.
        weights: R x I, how often each image occurs; all ones is the set itself.
        metric: its `curve` and `resampled` are used.
        jobs: threads.
        groups: of `matches.categories`; the metrics of one are called `GROUP.METRIC`.
    """
    precision = average_precisions(matches, weights, metric, jobs)
    whole = precision[:, :, 0].mean(axis=2)
    per_category = {name: whole[:, index] for index, name in enumerate(matches.categories)}
    metrics = metric.resampled(precision, matches, weights)
    for group, names in groups.items():
        own = [index for index, name in enumerate(matches.categories) if name in names]
        part = matches._replace(
            categories=tuple(matches.categories[index] for index in own),
            cells=tuple(matches.cells[index] for index in own),
        )
        numbers = metric.resampled(precision[:, own], part, weights)
        metrics |= {f"{group}.{name}": numbers[name] for name in metric.by_category}
    return Resampled(metrics, per_category)


def average_precisions(matches: Matches, weights: Ints, metric: BoxMetric, jobs: int = 1) -> Floats:
    """R x category x area x IoU threshold; NaN without an object. Arguments as `resample` has them."""
    shape = (len(matches.cells), len(matches.cells[0]), len(matches.cells[0][0].code))
    precision = np.empty((len(weights), *shape))
    levels, epsilon = metric.curve()
    # Contiguous, so that a thread reads one row of weights from its nearest cache.
    weights = np.ascontiguousarray(weights, np.int32)

    def fill(rows: slice) -> None:
        for category, cells in enumerate(matches.cells):
            for area, cell in enumerate(cells):
                own = np.empty((len(weights[rows]), shape[-1]))
                threshold, event = np.nonzero(cell.code != MISS)
                first = np.searchsorted(threshold, np.arange(shape[-1] + 1))
                _average(
                    cell.image, cell.code, cell.start, event, first, weights[rows], cell.objects, levels, epsilon, own
                )
                precision[rows, category, area] = own

    parts = [part for part in np.array_split(np.arange(len(weights)), jobs) if len(part)]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(fill, [slice(part[0], part[-1] + 1) for part in parts]))
    return precision


def coco_numbers(precision: Floats, matches: Matches, weights: Ints) -> dict[str, Floats]:
    """The names of `score_coco`, R each, from R x category x area x IoU average precisions."""
    found = {"AP": precision[:, :, 0].mean(axis=2), "AP50": precision[:, :, 0, 0], "AP75": precision[:, :, 0, 5]}
    found |= {f"AP_{area}": precision[:, :, index].mean(axis=2) for index, area in ((1, "S"), (2, "M"), (3, "L"))}
    return {name: mean_defined(values) for name, values in found.items()} | dict(_recalls(matches, weights))


def _recalls(matches: Matches, weights: Ints) -> Iterator[tuple[str, Floats]]:
    """Mean recall over categories and IoU thresholds; hits of an image add up, whatever their order."""
    for limit in RECALL_LIMITS:
        yield (
            f"AR{limit}",
            mean_defined(np.stack([_recall(cells[0], weights, limit) for cells in matches.cells], axis=1)),
        )
    for index, area in ((1, "S"), (2, "M"), (3, "L")):
        cells = [cells[index] for cells in matches.cells]
        yield (
            f"AR_{area}",
            mean_defined(np.stack([_recall(cell, weights, RECALL_LIMITS[-1]) for cell in cells], axis=1)),
        )


def _recall(cell: Ranked, weights: Ints, limit: int) -> Floats:
    """R: recall of one category, mean over thresholds."""
    hits = (cell.code == HIT).sum(axis=0) * (cell.rank < limit)
    counts = np.bincount(cell.image, weights=hits, minlength=len(cell.objects))
    used = np.flatnonzero((counts > 0) | (cell.objects > 0))
    own = weights[:, used].astype(np.float64)
    objects = own @ cell.objects[used]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall: Floats = (own @ counts[used]) / (objects * len(cell.code))
    return np.where(objects > 0, recall, np.nan)


def mean_defined(values: Floats) -> Floats:
    """R, from R x category: the mean over those that are defined in a replicate; NaN where none is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=1)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _average_of(
    image: Ints,
    code: Any,
    start: Ints,
    event: Any,
    first: Any,
    weights: Ints,
    objects: Ints,
    levels: Floats,
    epsilon: float,
    out: Floats,
) -> None:
    """Average precision of each replicate (rows of `out`) and threshold (columns); NaN without an object.

    `event` lists, threshold by threshold (from first[t] to first[t + 1]), the detections that are hits or neither, by
    place. All others are misses: how many precede a hit follows from how many detections do, which is one sum for all
    thresholds.
    """
    runs = len(start) - 1
    before, run_of = np.empty(runs, np.int64), np.empty(len(image), np.int32)
    for run in range(runs):
        run_of[start[run] : start[run + 1]] = run
    for replicate in range(len(weights)):
        weight = weights[replicate]
        positives = 0
        for index in range(len(objects)):
            positives += weight[index] * objects[index]
        if positives == 0:
            out[replicate, :] = np.nan
            continue
        detections = 0
        for run in range(runs):
            before[run] = detections
            detections += weight[image[start[run]]] * (start[run + 1] - start[run])
        found, precision = np.empty(positives, np.int64), np.empty(positives)
        for threshold in range(len(code)):
            row, end = code[threshold], first[threshold + 1]
            hits, neither, steps = 0, 0, 0
            at = first[threshold]
            while at < end:
                run = run_of[event[at]]
                copies = weight[image[event[at]]]
                length = start[run + 1] - start[run]
                if length == 1:
                    if row[event[at]] == HIT and copies > 0:
                        hits += copies
                        counted = before[run] + copies - neither
                        found[steps], precision[steps] = hits, hits / (counted + epsilon)
                        steps += 1
                    elif row[event[at]] != HIT:
                        neither += copies
                    at += 1
                    continue
                # Of equal scores in one image the copies are interleaved, so each one is walked.
                last = at
                while last < end and run_of[event[last]] == run:
                    last += 1
                for copy in range(copies):
                    for index in range(at, last):
                        if row[event[index]] == HIT:
                            hits += 1
                            counted = before[run] + copy * length + event[index] - start[run] + 1 - neither
                            found[steps], precision[steps] = hits, hits / (counted + epsilon)
                            steps += 1
                        else:
                            neither += 1
                at = last
            # Backwards: the envelope is the highest precision from a step on.
            total, envelope, level = 0.0, 0.0, len(levels) - 1
            while level >= 0 and (steps == 0 or levels[level] > found[steps - 1] / positives):
                level -= 1
            for step in range(steps - 1, -1, -1):
                envelope = max(envelope, precision[step])
                if len(levels) == 0:
                    earlier = found[step - 1] if step else 0
                    total += (found[step] - earlier) / positives * envelope
                    continue
                while level >= 0 and (step == 0 or levels[level] > found[step - 1] / positives):
                    total += envelope
                    level -= 1
            out[replicate, threshold] = total / max(1, len(levels))


_average = cast(Callable[..., None], numba.njit(nogil=True, cache=True)(_average_of))
