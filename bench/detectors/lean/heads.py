"""Heads with anchors, which need not put targets back into place where no anchor was left out."""

from typing import Any

from mmdet.models import dense_heads as mmdet
from torch import Tensor


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
    """mmdet's."""


class ATSSHead(_Whole, mmdet.ATSSHead):  # type: ignore[misc]
    """mmdet's."""


class SSDHead(_Whole, mmdet.SSDHead):  # type: ignore[misc]
    """mmdet's."""


class RPNHead(_Whole, mmdet.RPNHead):  # type: ignore[misc]
    """mmdet's."""
