"""Resizing that mmdet's `Resize` does not offer: as the authors of a detector that was exported have it."""

from typing import Any

import cv2
import numpy as np
from mmdet.datasets.transforms import Resize

from bench.schema.detector import Input


class Sampled(Resize):  # type: ignore[misc]
    """Bilinear resizing by `size.sampling`; boxes follow as in mmdet's."""

    def __init__(self, size: Input) -> None:
        super().__init__(scale=tuple(size.size), keep_ratio=size.keep_ratio)
        self.sampling = size.sampling

    def _resize_img(self, results: dict[str, Any]) -> None:
        image, (width, height) = results["img"], self.scale
        factors = width / image.shape[1], height / image.shape[0]
        if self.keep_ratio:
            factors = (min(factors), min(factors))
        size = int(image.shape[1] * factors[0]), int(image.shape[0] * factors[1])
        if self.sampling == "corner":
            # The scale of each axis alone, as in NanoDet's `warp_and_resize`: the first pixels' centres stay in place.
            matrix = np.diag([size[0] / image.shape[1], size[1] / image.shape[0], 1.0])
            results["img"] = cv2.warpPerspective(image, matrix, dsize=size)
        else:
            results["img"] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR_EXACT)
        results |= {"img_shape": results["img"].shape[:2], "scale_factor": factors, "keep_ratio": self.keep_ratio}
