"""Arithmetic on boxes without constants that are copied to the GPU at each call, for which a step would wait."""

import math
from typing import Any

import torch
from mmdet.models import losses
from mmdet.models.losses.smooth_l1_loss import l1_loss
from mmdet.models.task_modules import coders
from torch import Tensor


class DeltaXYWHBBoxCoder(coders.DeltaXYWHBBoxCoder):  # type: ignore[misc]
    """mmdet's."""

    def decode(self, bboxes: Tensor, pred_bboxes: Tensor, max_shape: Any = None, wh_ratio_clip: float = 0.016) -> Any:
        """As mmdet's; boxes [n, 4] of deltas [n, 4] that are not scaled and not clipped to the image are made here."""
        plain = max_shape is None and not (self.add_ctr_clamp or self.use_box_type) and pred_bboxes.dim() == 2
        scaled = any(self.means) or any(std != 1 for std in self.stds)
        if scaled or not plain or pred_bboxes.shape[1] != 4 or not isinstance(bboxes, Tensor) or not len(bboxes):
            return super().decode(bboxes, pred_bboxes, max_shape, wh_ratio_clip)
        centre, size = (bboxes[:, :2] + bboxes[:, 2:]) * 0.5, bboxes[:, 2:] - bboxes[:, :2]
        most = abs(math.log(wh_ratio_clip))
        centre = centre + size * pred_bboxes[:, :2]
        half = size * pred_bboxes[:, 2:].clamp(min=-most, max=most).exp() * 0.5
        return torch.cat([centre - half, centre + half], dim=-1)


class L1Loss(losses.L1Loss):  # type: ignore[misc]
    """mmdet's, which looks first whether any weight is above zero."""

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Any = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """As mmdet's: tensors of one shape. Weights that are all zero give losses and gradients of zero either way."""
        if weight is None or weight.shape != pred.shape or not pred.numel():
            loss: Tensor = super().forward(pred, target, weight, avg_factor, reduction_override)
            return loss
        reduced: Tensor = l1_loss(
            pred, target, weight, reduction=reduction_override or self.reduction, avg_factor=avg_factor
        )
        weighed: Tensor = self.loss_weight * reduced
        return weighed


def aligned_overlaps(boxes: Tensor, targets: Tensor) -> Tensor:
    """IoU of each of the `boxes` [n, 4] with its target, [n], as mmdet's `bbox_overlaps`."""
    low, high = torch.max(boxes[:, :2], targets[:, :2]), torch.min(boxes[:, 2:], targets[:, 2:])
    across = (high - low).clamp(min=0)
    both = across[:, 0] * across[:, 1]
    areas = [(of[:, 2] - of[:, 0]) * (of[:, 3] - of[:, 1]) for of in (boxes, targets)]
    overlaps: Tensor = both / (areas[0] + areas[1] - both).clamp(min=1e-6)
    return overlaps
