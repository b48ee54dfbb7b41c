"""What is well formed and yet probably a mistake in predictions: each kind once, with its count."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.dataset import Problem
from bench.evaluation.boxes import Detections
from bench.evaluation.spelling import Dialect

_BEYOND = 0.05
"""Share of the image's side that a box may end outside of it; detectors that do not clip stay within it."""
_FEW = 0.02
"""Share of the detections that may do so unsaid."""


def doubts(path: Path, found: Detections, gt: Mapping[str, Any], dialect: Dialect) -> Iterator[Problem]:
    """One problem for each kind of doubt: scores, units and form of the boxes."""
    if not len(found):
        yield Problem("no-detection", str(path), "lists no detection that counts, so every score is 0")
        return
    wrong = int(((found.score < 0) | (found.score > 1)).sum())
    if wrong:
        yield Problem("score-range", str(path), f"{wrong} of {len(found)} scores lie outside 0 to 1")
    if np.abs(found.box).max() <= 1:
        yield Problem("normalised", str(path), "every box lies within 1 px: are they fractions of the image's sides?")
        return
    outside = _outside(found, gt)
    if outside > _FEW * len(found):
        hint = "--boxes xyxy, if they are corners" if dialect.boxes == "xywh" else "are they x, y, width, height?"
        yield Problem("outside-box", str(path), f"{outside} of {len(found)} boxes end outside of their image; {hint}")


def _outside(found: Detections, gt: Mapping[str, Any]) -> int:
    """Detections that end outside of images whose size is known."""
    sizes = {image["id"]: (image.get("width") or np.inf, image.get("height") or np.inf) for image in gt["images"]}
    known = np.array(sorted(sizes), np.int64)
    side = np.array([sizes[number] for number in known.tolist()], np.float64)[np.searchsorted(known, found.image)]
    end = found.box[:, :2] + found.box[:, 2:]
    return int((end > side * (1 + _BEYOND)).any(axis=1).sum())
