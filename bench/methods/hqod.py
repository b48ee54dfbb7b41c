"""HQOD: Harmonious Quantization for Object Detection (Huang et al., 2408.02561; code VP-QOD 27f69e85).

A positive sample has the score p of its true class and the IoU u of its decoded box with its target. Two losses make
them agree: task correlation (eqs. 5 to 7) and harmonious IoU (eq. 8); eq. 9 adds them to the detector's own.
"""

import math
from typing import Any

import torch
from torch import Tensor

from bench.detectors.positives import Positives
from bench.schema.methods import options_of
from bench.schema.options.training import HqodOptions

EPSILON = torch.finfo(torch.float64).eps
"""The code's: keeps the gradients of p^u and u^p finite where a base is 0."""


class HQOD:
    """The two losses, added to the box loss of each positive sample; quantizers are another method's."""

    version = 1
    repeats = True

    def __init__(self, options: HqodOptions | dict[str, Any]) -> None:
        self.options = options_of(HqodOptions, options)

    def reshape_losses(self, positives: Positives) -> tuple[Tensor, Tensor]:
        """Eq. 9; as in the code, ATSS's centerness does not weigh the added terms, nor does a weight of the box loss.

        With `normaliser: paper` they are divided by P, with `code` by the head's own normaliser of its box losses.
        """
        o, u = self.options, positives.u
        added = torch.zeros_like(u)
        if "tcorr" in o.terms:
            added = added + tcorr_loss(positives.p, u)
        if o.sigma is not None and o.gamma is not None:
            added = added + o.sigma * harmonious_iou_loss(u, o.gamma)
        if o.normaliser == "paper":
            added = added * (positives.reg_normaliser / positives.count)
        return positives.cls, positives.reg + added


def correlation(p: Tensor, u: Tensor) -> Tensor:
    """The harmony indicator c = p^u * u^p, [P] (eqs. 5 and 6), 1 where p and u are both 0 or both 1.

    Gradients flow through bases and exponents, as in the code. Raises ValueError where p and u are not [P] both.
    """
    if p.dim() != 1 or p.shape != u.shape:
        raise ValueError(f"p and u must be [P] both, found {list(p.shape)} and {list(u.shape)}")
    return (p + EPSILON) ** u * (u + EPSILON) ** p - EPSILON


def tcorr_loss(p: Tensor, u: Tensor) -> Tensor:
    """Task correlation loss (1 + |p - u|) * (exp(-c) - exp(-1)), [P] (eq. 7); no gradient through the first factor.

    `p` [P] are scores of the true classes, `u` [P] IoUs, both in 0..1. Raises ValueError for other shapes.
    """
    alpha = 1 + (p - u).abs().detach()
    return alpha * (torch.exp(-correlation(p, u)) - math.exp(-1))


def harmonious_iou_loss(u: Tensor, gamma: float = 0.8) -> Tensor:
    """Harmonious IoU loss (1 + u)^gamma * (1 - u), [P] (eq. 8): its gradient grows with the IoU `u` [P]."""
    return (1 + u) ** gamma * (1 - u)
