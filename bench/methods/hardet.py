"""HarDet: Reconcile Prediction Consistency for Balanced Object Detection (Wang et al., 2108.10809).

Of a positive sample, with classification loss CE, box loss L, score p of its true class and IoU u (the equations as a
secondary note has them; beta_e's sum is over all classes):

    harmonic IoU      L_loc = L + alpha * (1 + u)^gamma * (1 - u)
    harmonic loss     (1 + exp(-L_loc)) * CE + (1 + exp(-CE)) * L_loc
    task contrast     max(0, |p - u| - m) / (1 + beta_e),   beta_e = exp(-sum p log p)

HQOD's re-implementation (VP-QOD 27f69e85), with which its Table III compares, differs in two places: see the options.
Nothing is detached in either.
"""

from typing import Any

import torch
from torch import Tensor

from bench.detectors.positives import Positives
from bench.methods.hqod import harmonious_iou_loss
from bench.schema.methods import options_of
from bench.schema.options.training import HardetOptions


class HarDet:
    """Harmonic and task-contrastive losses in place of a detector's own, for its positive samples."""

    version = 1

    def __init__(self, options: HardetOptions | dict[str, Any]) -> None:
        self.options = options_of(HardetOptions, options)

    def reshape_losses(self, positives: Positives) -> tuple[Tensor, Tensor]:
        """Both losses weighed by each other; the contrast is part of the box loss, and normalised with it."""
        o, cls = self.options, positives.cls
        loc = positives.reg + o.alpha * harmonious_iou_loss(positives.u, o.gamma)
        reg = (1 + torch.exp(-cls)) * loc
        weigher = loc if o.form == "paper" else reg
        return (1 + torch.exp(-weigher)) * cls, reg + self._contrast(positives)

    def _contrast(self, positives: Positives) -> Tensor:
        gap = (positives.p - positives.u).abs()
        margin = self.options.margin
        if self.options.form == "paper":
            gap = (gap - margin).clamp(min=0)
        else:
            gap = torch.where(gap < margin, torch.zeros_like(gap), gap)
        return gap / (1 + torch.exp(entropy(positives.scores)))


def entropy(scores: Tensor) -> Tensor:
    """-sum p log p over the classes, [P, C] -> [P], in nats; a score of 0 counts 0, and has no gradient."""
    positive = scores > 0
    safe = torch.where(positive, scores, torch.ones_like(scores))
    return -(safe * safe.log()).sum(1)
