"""Detections of a model on a data set, in the ids of its COCO JSON."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bench.data.dataset import Dataset
from bench.detectors.pipeline import test_loader
from bench.schema.detector import Input


@torch.inference_mode()
def predict(
    model: nn.Module,
    dataset: Dataset,
    size: Input,
    batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """COCO results (`image_id, category_id, bbox [x, y, w, h] px, score`), images in order, scores descending."""
    categories = [category["id"] for category in dataset.coco["categories"]]
    loader = test_loader(dataset, size, batch)
    model.eval()
    detections: list[dict[str, Any]] = []
    for done, data in enumerate(loader, start=1):
        for sample in model.test_step(data):  # type: ignore[operator]
            found = sample.pred_instances
            boxes = found.bboxes.cpu().double()
            boxes[:, 2:] -= boxes[:, :2]
            detections += [
                {"image_id": sample.img_id, "category_id": categories[label], "bbox": box, "score": score}
                for box, score, label in zip(
                    boxes.tolist(), found.scores.cpu().tolist(), found.labels.cpu().tolist(), strict=True
                )
            ]
        if progress is not None:
            progress(done, len(loader))
    return detections
