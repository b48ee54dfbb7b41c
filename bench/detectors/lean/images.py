"""Images of one size are normalised as one batch, not one by one."""

from typing import Any

import torch
from mmdet.models import data_preprocessors


class DetDataPreprocessor(data_preprocessors.DetDataPreprocessor):  # type: ignore[misc]
    """mmdet's, which takes a batch also as one tensor."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As mmdet's."""
        images = data["inputs"]
        if isinstance(images, list) and len({(image.shape, image.dtype, image.device) for image in images}) == 1:
            data = {**data, "inputs": torch.stack(images)}
        prepared: dict[str, Any] = super().forward(data, training)
        return prepared
