"""Detections and objects as arrays: what metrics are computed from, whatever file they were read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import BenchError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Detections:
    """N detections, in the order in which equal scores rank."""

    image: Ints
    """N: image ids."""
    category: Ints
    """N: category ids."""
    box: Floats
    """N x 4: x, y, width, height, px."""
    score: Floats
    """N."""

    def __len__(self) -> int:
        return len(self.score)

    def take(self, which: Flags | Ints) -> "Detections":
        """Those of a mask, or at these places."""
        return Detections(self.image[which], self.category[which], self.box[which], self.score[which])

    @classmethod
    def of(cls, found: "AnyDetections") -> "Detections":
        """From a COCO result list: `image_id`, `category_id`, `bbox`, `score`; anything else is not read."""
        if isinstance(found, Detections):
            return found
        return cls(
            np.array([one["image_id"] for one in found], np.int64),
            np.array([one["category_id"] for one in found], np.int64),
            np.array([one["bbox"] for one in found], np.float64).reshape(-1, 4),
            np.array([one["score"] for one in found], np.float64),
        )


AnyDetections = Detections | Sequence[Mapping[str, Any]]
"""Detections, or the COCO result list that they are made from."""


@dataclass(frozen=True, eq=False)
class Objects:
    """N boxes of the ground truth, in the order of the file."""

    image: Ints
    """N: image ids."""
    category: Ints
    """N: category ids."""
    box: Floats
    """N x 4: x, y, width, height, px."""
    area: Floats
    """N: px²; width times height where the file has none."""
    crowd: Flags
    """N."""
    difficult: Flags
    """N."""

    def take(self, which: Flags | Ints) -> "Objects":
        """Those of a mask, or at these places."""
        return Objects(
            self.image[which],
            self.category[which],
            self.box[which],
            self.area[which],
            self.crowd[which],
            self.difficult[which],
        )

    @classmethod
    def of(cls, gt: Mapping[str, Any]) -> "Objects":
        """From COCO's `annotations`."""
        every = gt["annotations"]
        image = np.array([one["image_id"] for one in every], np.int64)
        category = np.array([one["category_id"] for one in every], np.int64)
        box = np.array([one["bbox"] for one in every], np.float64).reshape(-1, 4)
        given = [one.get("area", one["bbox"][2] * one["bbox"][3]) for one in every]
        crowd = np.array([bool(one.get("iscrowd")) for one in every], np.bool_)
        difficult = np.array([bool(one.get("difficult")) for one in every], np.bool_)
        return cls(image, category, box, np.array(given, np.float64), crowd, difficult)


def ids(gt: Mapping[str, Any], plural: str) -> Ints:
    """Ascending ids of `images` or `categories`."""
    return np.unique(np.array([one["id"] for one in gt[plural]], np.int64))


def check_references(gt: Mapping[str, Any], found: Detections) -> None:
    """Refuse a detection on an image or of a category that the ground truth lacks, counted from 0.

    pycocotools leaves such detections out without a word, and a wrong id mapping then looks like a bad
    detector.

    Raises:
        BenchError: naming the first such detection.
    """
    for key, column, plural in (
        ("image_id", found.image, "images"),
        ("category_id", found.category, "categories"),
    ):
        unknown = np.flatnonzero(~np.isin(column, ids(gt, plural)))
        if unknown.size:
            raise BenchError(f"detection {unknown[0]}: {key} {column[unknown[0]]} is not in the ground truth")
