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


def resample(matches: Matches, weights: Ints, metric: BoxMetric, jobs: int = 1) -> Resampled:
    """Every metric of each replicate.

    Args:
        matches: made by the same metric's `match`.
        weights: R x I, how often each image occurs; all ones is the set itself.
        metric: its `curve` and `resampled` are used.
        jobs: threads.
    """
    precision = average_precisions(matches, weights, metric, jobs)
    whole = precision[:, :, 0].mean(axis=2)
    per_category = {name: whole[:, index] for index, name in enumerate(matches.categories)}
    return Resampled(metric.resampled(precision, matches, weights), per_category)


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
                _average(cell.image, cell.code, cell.start, weights[rows], cell.objects, levels, epsilon, own)
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
    image: Ints, code: Any, start: Ints, weights: Ints, objects: Ints, levels: Floats, epsilon: float, out: Floats
) -> None:
    """Average precision of each replicate (rows of `out`) and threshold (columns); NaN without an object."""
    runs = len(start) - 1
    kept, copies = np.empty(runs, np.int32), np.empty(runs, np.int32)
    for replicate in range(len(weights)):
        weight = weights[replicate]
        positives = 0
        for index in range(len(objects)):
            positives += weight[index] * objects[index]
        if positives == 0:
            out[replicate, :] = np.nan
            continue
        used = 0
        for run in range(runs):
            if weight[image[start[run]]] > 0:
                kept[used], copies[used] = start[run], weight[image[start[run]]]
                # The run's length stands in the sign: one longer than 1 is walked copy by copy.
                if start[run + 1] - start[run] > 1:
                    copies[used], kept[used] = -copies[used], run
                used += 1
        found, precision = np.empty(positives, np.int64), np.empty(positives)
        for threshold in range(len(code)):
            row = code[threshold]
            hits, misses, steps = 0, 0, 0
            for index in range(used):
                if copies[index] > 0:
                    what = row[kept[index]]
                    if what == HIT:
                        hits += copies[index]
                        found[steps], precision[steps] = hits, hits / (misses + hits + epsilon)
                        steps += 1
                    elif what == MISS:
                        misses += copies[index]
                    continue
                for _ in range(-copies[index]):
                    for at in range(start[kept[index]], start[kept[index] + 1]):
                        if row[at] == HIT:
                            hits += 1
                            found[steps], precision[steps] = hits, hits / (misses + hits + epsilon)
                            steps += 1
                        elif row[at] == MISS:
                            misses += 1
            # Backwards: the envelope is the highest precision from a step on.
            total, envelope, level = 0.0, 0.0, len(levels) - 1
            while level >= 0 and (steps == 0 or levels[level] > found[steps - 1] / positives):
                level -= 1
            for step in range(steps - 1, -1, -1):
                envelope = max(envelope, precision[step])
                if len(levels) == 0:
                    before = found[step - 1] if step else 0
                    total += (found[step] - before) / positives * envelope
                    continue
                while level >= 0 and (step == 0 or levels[level] > found[step - 1] / positives):
                    total += envelope
                    level -= 1
            out[replicate, threshold] = total / max(1, len(levels))


_average = cast(Callable[..., None], numba.njit(nogil=True, cache=True)(_average_of))
