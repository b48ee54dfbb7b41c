"""Assignment of anchors to boxes, without a loop over the boxes, and sampling without a sort."""

from importlib import import_module
from math import nan
from typing import Any

import torch
from mmdet.models.task_modules import assigners, samplers
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import SamplingResult
from torch import Tensor

from bench.quantization import kernels


class MaxIoUAssigner(assigners.MaxIoUAssigner):  # type: ignore[misc]
    """mmdet's; all boxes of an image at once claim the anchors that overlap them best, on a CPU in one pass."""

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Of `priors` [n, 4] to `bboxes` [k, 4] with `labels` [k], as mmdet's; fused where `_plain` and no box is
        ignored.
        """
        priors, boxes, labels = pred_instances.priors, gt_instances.bboxes, gt_instances.labels
        ignores = self.ignore_iof_thr > 0 and gt_instances_ignore is not None and gt_instances_ignore.bboxes.numel()
        if ignores or not self._plain(priors, boxes, labels) or kernels.backend("cpu") == "eager":
            return super().assign(pred_instances, gt_instances, gt_instances_ignore, **kwargs)
        low, high = (0.0, self.neg_iou_thr) if isinstance(self.neg_iou_thr, float) else self.neg_iou_thr
        claim = self.min_pos_iou if self.match_low_quality else nan  # no overlap is at least NaN
        passes = import_module("bench.detectors.lean.assign_numba")
        assigned, best, own = passes.assign(boxes, labels, priors, low, high, self.pos_iou_thr, claim)
        return AssignResult(num_gts=len(boxes), gt_inds=assigned, max_overlaps=best, labels=own)

    def _plain(self, priors: Any, boxes: Any, labels: Any) -> bool:
        """Whether the fused pass serves these options and tensors."""
        if self.perm_repeat_gt_cfg is not None or (self.match_low_quality and not self.gt_max_assign_all):
            return False
        if type(self.iou_calculator) is not assigners.BboxOverlaps2D or self.iou_calculator.dtype is not None:
            return False
        if not isinstance(self.neg_iou_thr, float | tuple):
            return False
        for x in (priors, boxes):
            if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[1] != 4 or x.dtype != torch.float32:
                return False
        if labels.dtype != torch.long or labels.shape != boxes.shape[:1]:
            return False
        all_plain = all(x.is_cpu and x.is_contiguous() and not x.requires_grad for x in (priors, boxes, labels))
        return all_plain and len(priors) > 0 and len(boxes) > 0

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
