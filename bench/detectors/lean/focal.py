"""mmdet's sigmoid focal loss (Lin et al., 1708.02002), fused: loss, weighting, sum and gradient in one pass."""

from importlib import import_module
from typing import Any, Protocol

import torch
from mmdet.models.losses import FocalLoss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch import Tensor
from torch.nn.functional import one_hot

from bench.quantization import kernels

GAMMA = 2.0
"""The exponent that the passes are written for, that of every configuration of mmdet."""


class Passes(Protocol):
    """What a path offers; float32 tensors without gaps, on one device."""

    def sum_and_gradient(self, logits: Tensor, labels: Tensor, weights: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        """The weighted loss of `logits` [n, classes], `labels` [n] (`classes` for background) and `weights` [n], summed
        over all entries to a scalar, and its gradient in the logits.
        """


class FusedFocalLoss(FocalLoss):  # type: ignore[misc]
    """mmdet's, but one pass over the logits where integer labels are reduced to a mean over `avg_factor`.

    Everything else takes mmdet's own code: losses of single samples, one-hot and soft targets, a weight of each class,
    another exponent or number type, and second derivatives.
    """

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Any = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """As mmdet's: `pred` [n, classes], `target` [n] with `classes` for background, `weight` [n]."""
        passes = None
        if (reduction_override or self.reduction) == "mean" and avg_factor is not None and not self.activated:
            passes = self._passes(pred, target, weight)
        if passes is None:
            loss: Tensor = super().forward(pred, target, weight, avg_factor, reduction_override)
            return loss
        weights = pred.new_ones(len(pred)) if weight is None else weight.contiguous()
        # As mmdet's `weight_reduce_loss`.
        divisor = avg_factor + torch.finfo(torch.float32).eps
        total: Tensor = _Sum.apply(pred.contiguous(), target.contiguous(), weights, self.alpha, passes)  # type: ignore[no-untyped-call]
        fused: Tensor = self.loss_weight * (total / divisor)
        return fused

    def _passes(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> Passes | None:
        plain = self.gamma == GAMMA and pred.dtype == torch.float32 and pred.dim() == 2 and pred.numel() > 0
        whole = target.dim() == 1 and target.dtype == torch.long
        one_each = weight is None or (weight.dim() == 1 and weight.dtype == torch.float32 and not weight.requires_grad)
        if not (plain and whole and one_each):
            return None
        path = kernels.backend(pred.device.type)
        return None if path == "eager" else import_module(f"bench.detectors.lean.focal_{path}")


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor, alpha: float, passes: Passes) -> Tensor:
        total, gradient = passes.sum_and_gradient(logits, labels, weights, alpha)
        ctx.alpha = alpha
        ctx.save_for_backward(logits, labels, weights, gradient)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        logits, labels, weights, gradient = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return gradient * grad, None, None, None, None
        # Somebody wants a second derivative.
        hot = one_hot(labels, logits.shape[1] + 1)[:, :-1]
        total = py_sigmoid_focal_loss(logits, hot, weights, GAMMA, ctx.alpha, "sum")
        (again,) = torch.autograd.grad(total, logits, grad, create_graph=True)
        return again, None, None, None, None
