"""ODOL, an object detection output loss: how far the outputs of a quantized detector lie from those of the same
detector in full precision. Without labels.

DetPTQ (2304.09785) has a loss of this name, of which only the abstract could be read; this form of it is ours.

With s the scores in full precision, q those under quantization, b and b' the boxes, F the number of locations whose
best score is above a threshold t in full precision:

    ODOL = 1/F * [ sum over these of  KL(s, q) + 1 - IoU(b, b')  +  w * sum over all others of (max q - max s)^2 ]

KL is that of independent classes, sum_c s log(s/q) + (1-s) log((1-s)/(1-q)). The last term makes false positives cost;
only the best score of such a location is kept, 4 bytes in place of 4 C, so that many images can be compared.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from bench.detectors.locations import Locations
from bench.errors import BenchError

LEAST = 1e-6
"""Scores are kept so far from 0 and 1, or one class could make the divergence infinite."""


class Target(NamedTuple):
    """What the detector says of one batch in full precision."""

    chosen: Tensor
    """[n, L] Whether the best score is above the threshold."""
    scores: Tensor
    """[f, C] Of the chosen locations."""
    boxes: Tensor
    """[f, 4]"""
    best: Tensor
    """[n, L] Best score of each location."""

    @property
    def places(self) -> int:
        """f, how many locations are chosen."""
        return len(self.scores)


def target(found: Locations, threshold: float) -> Target:
    """What is kept of the outputs in full precision; BenchError where a score of theirs is not finite."""
    if not bool(found.scores.isfinite().all()):
        raise BenchError("the detector's scores in full precision are not finite, so nothing can be compared with them")
    best = found.scores.amax(-1)
    chosen = best > threshold
    return Target(chosen, found.scores[chosen], found.boxes[chosen], best)


def odol(found: Locations, target: Target, background: float) -> float:
    """The bracket of the equation above; the caller divides by F, the sum of the batches' `places`.

    0 where the outputs are those of full precision; infinite where a score is not a number.

    Args:
        found: outputs of the same images under quantization.
        target: what was kept of those in full precision.
        background: w.
    """
    divergence = _divergence(target.scores, found.scores[target.chosen]).sum()
    boxes = (1 - aligned_iou(target.boxes, found.boxes[target.chosen])).sum()
    others = (found.scores.amax(-1) - target.best).square()[~target.chosen].sum(dtype=torch.float64)
    total = float(divergence + boxes + background * others)
    return total if total == total else float("inf")


def _divergence(s: Tensor, q: Tensor) -> Tensor:
    """[f, C] and [f, C] -> [f, C], at least 0."""
    s, q = (x.double().clamp(LEAST, 1 - LEAST) for x in (s, q))
    return s * (s / q).log() + (1 - s) * ((1 - s) / (1 - q)).log()


def aligned_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of a[i] and b[i], [f, 4] x1, y1, x2, y2 -> [f]. 1 where they are equal, also without extent; 0 where a number
    is not finite."""
    a, b = a.double(), b.double()
    same = (a == b).all(-1)
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clamp_min(0).prod(-1) for x in (a, b))
    overlap = sides.prod(-1)
    iou = (overlap / (area_a + area_b - overlap)).nan_to_num(0.0, 0.0, 0.0)
    return torch.where(same, torch.ones_like(iou), iou)
