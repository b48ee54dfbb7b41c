"""Images of one size are normalised as one batch, not one by one, and go to a GPU without waiting for it."""

from typing import Any

import torch
from mmdet.models import data_preprocessors
from mmengine.structures import BaseDataElement
from torch import Tensor

from bench.detectors.lean.host import send


class DetDataPreprocessor(data_preprocessors.DetDataPreprocessor):  # type: ignore[misc]
    """mmdet's, which takes a batch also as one tensor."""

    truth_on_host = False
    """Whether the head makes its targets on the host, so that the ground truth stays there."""
    _channel_conversion: bool

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As mmdet's."""
        images, swaps = data["inputs"], self._channel_conversion
        if isinstance(images, list) and len({(image.shape, image.dtype, image.device) for image in images}) == 1:
            batch = torch.stack(images)
            # mmdet would send the order of the channels to the GPU.
            data = {**data, "inputs": batch.flip(1) if swaps else batch}
            self._channel_conversion = False
        try:
            prepared: dict[str, Any] = super().forward(data, training)
        finally:
            self._channel_conversion = swaps
        return prepared

    def cast_data(self, data: Any) -> Any:
        """As mmengine's."""
        if isinstance(data, Tensor):
            return send(data, self.device)
        if isinstance(data, BaseDataElement):
            return data if self.truth_on_host else data.to(self.device, non_blocking=True)
        return super().cast_data(data)
