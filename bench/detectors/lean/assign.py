"""Assignment of anchors to boxes, without a loop over the boxes, and sampling without a sort."""

from typing import Any

import torch
from mmdet.models.task_modules import assigners, samplers
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import SamplingResult
from torch import Tensor


class MaxIoUAssigner(assigners.MaxIoUAssigner):  # type: ignore[misc]
    """mmdet's; all boxes of an image at once claim the anchors that overlap them best."""

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """From the overlaps [boxes, anchors] and the labels [boxes], as mmdet's."""
        low, high = (0.0, self.neg_iou_thr) if isinstance(self.neg_iou_thr, float) else self.neg_iou_thr
        if not overlaps.numel() or (self.match_low_quality and not self.gt_max_assign_all):
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        best, which = overlaps.max(dim=0)
        assigned = torch.full_like(which, -1).masked_fill_((best >= low) & (best < high), 0)
        assigned = torch.where(best >= self.pos_iou_thr, which + 1, assigned)
        if self.match_low_quality:
            highest = overlaps.amax(dim=1, keepdim=True)
            claims = (overlaps == highest) & (highest >= self.min_pos_iou)
            # Of several boxes that claim an anchor the last one gets it.
            numbers = torch.arange(1, len(overlaps) + 1, device=overlaps.device)
            last = torch.where(claims, numbers[:, None], 0).amax(dim=0)
            assigned = torch.where(last > 0, last, assigned)
        labels = torch.where(assigned > 0, gt_labels[(assigned - 1).clamp_(min=0)], -1)
        return AssignResult(num_gts=len(overlaps), gt_inds=assigned, max_overlaps=best, labels=labels)


class SimOTAAssigner(assigners.SimOTAAssigner):  # type: ignore[misc]
    """mmdet's, which copies each point for each box before it compares them."""

    def get_in_gt_and_in_center_info(self, priors: Tensor, gt_bboxes: Tensor) -> tuple[Tensor, Tensor]:
        """Which `priors` [n, 4] (x, y, strides) lie in a box or near a centre, [n], and for these [m] which lie in both
        of each of the boxes [k, 4], [m, k]; as mmdet's.
        """
        x, y, across, down = (column[:, None] for column in priors.unbind(1))
        left, top, right, bottom = gt_bboxes.unbind(1)
        inside = (x - left > 0) & (y - top > 0) & (right - x > 0) & (bottom - y > 0)
        middle_x, middle_y = (left + right) / 2.0, (top + bottom) / 2.0
        away_x, away_y = self.center_radius * across, self.center_radius * down
        near = (x - (middle_x - away_x) > 0) & (y - (middle_y - away_y) > 0)
        near &= (middle_x + away_x - x > 0) & (middle_y + away_y - y > 0)
        either = inside.any(dim=1) | near.any(dim=1)
        return either, (inside & near)[either]


class PseudoSampler(samplers.PseudoSampler):  # type: ignore[misc]
    """mmdet's, which sorts indices that `nonzero` has sorted already."""

    def sample(self, assign_result: AssignResult, pred_instances: Any, gt_instances: Any, *_: Any, **__: Any) -> Any:
        """All anchors that were assigned, as mmdet's."""
        priors = pred_instances.priors
        return SamplingResult(
            pos_inds=(assign_result.gt_inds > 0).nonzero().squeeze(1),
            neg_inds=(assign_result.gt_inds == 0).nonzero().squeeze(1),
            priors=priors,
            gt_bboxes=gt_instances.bboxes,
            assign_result=assign_result,
            gt_flags=priors.new_zeros(len(priors), dtype=torch.uint8),
            avg_factor_with_neg=False,
        )
