"""Heads with anchors, which need not put targets back into place where no anchor was left out."""

from typing import Any

from mmdet.models import dense_heads as mmdet
from torch import Tensor

from bench.detectors.lean.host import send_levels


class _Whole:
    """Targets of an image whose anchors all count are those of the anchors that count."""

    train_cfg: Any

    def _get_targets_single(
        self, flat_anchors: Any, valid_flags: Tensor, *args: Any, unmap_outputs: bool = True, **kwargs: Any
    ) -> Any:
        """As mmdet's."""
        whole = self.train_cfg["allowed_border"] < 0 and bool(valid_flags.all())
        parent: Any = super()
        return parent._get_targets_single(
            flat_anchors, valid_flags, *args, unmap_outputs=unmap_outputs and not whole, **kwargs
        )


class RetinaHead(_Whole, mmdet.RetinaHead):  # type: ignore[misc]
    """mmdet's, whose targets are made on the host where the ground truth is there: they hang on it alone."""

    def get_anchors(self, featmap_sizes: Any, batch_img_metas: Any, device: Any = "cuda") -> Any:
        """As mmdet's."""
        self.map_sizes = featmap_sizes
        return super().get_anchors(featmap_sizes, batch_img_metas, device)

    def get_targets(
        self,
        anchor_list: Any,
        valid_flag_list: Any,
        batch_gt_instances: Any,
        batch_img_metas: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As mmdet's, on the device of the anchors."""
        device, home = anchor_list[0][0].device, batch_gt_instances[0].bboxes.device
        if device == home:
            return super().get_targets(
                anchor_list, valid_flag_list, batch_gt_instances, batch_img_metas, *args, **kwargs
            )
        here = self.get_anchors(self.map_sizes, batch_img_metas, home)
        *targets, count = super().get_targets(*here, batch_gt_instances, batch_img_metas, *args, **kwargs)
        return *(send_levels(levels, device) for levels in targets), count


class ATSSHead(_Whole, mmdet.ATSSHead):  # type: ignore[misc]
    """mmdet's."""


class SSDHead(_Whole, mmdet.SSDHead):  # type: ignore[misc]
    """mmdet's."""


class RPNHead(_Whole, mmdet.RPNHead):  # type: ignore[misc]
    """mmdet's."""
