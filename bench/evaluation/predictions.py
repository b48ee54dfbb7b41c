"""The stored form of the detections of one split: rounded before anything is scored, and small enough to
keep.

A number that a record states can be computed again from its predictions alone, so scores are taken from these
and never from what the detector returned (mmdetection #12009: a re-scored file gave another number).
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import BenchError
from bench.evaluation.boxes import Detections
from bench.evaluation.packing import Columns, CorruptError, digest, pack, unpack
from bench.records.files import write_atomically

STEPS_PER_PX = 16
"""Boxes are kept in sixteenths of a px."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """N detections in the order in which the detector gave them; metrics resolve equal scores by it."""

    columns: Columns

    def __post_init__(self) -> None:
        columns = self.columns
        if not np.isfinite(columns.score).all():
            raise BenchError(f"detection {np.flatnonzero(~np.isfinite(columns.score))[0]}: its score is not finite")
        if (columns.box[:, 2:] < 0).any():
            at = np.flatnonzero((columns.box[:, 2:] < 0).any(axis=1))[0]
            raise BenchError(f"detection {at}: its width or height is negative")

    def __len__(self) -> int:
        return len(self.columns.score)

    @classmethod
    def from_coco(cls, detections: Sequence[Mapping[str, Any]]) -> "Predictions":
        """Round a COCO result list: `image_id`, `category_id`, `bbox` [x, y, w, h] in px, `score`; other keys
        go.

        Box numbers go to the nearest sixteenth of a px (halves to the even one), scores to the nearest
        float32.

        Raises:
            BenchError: a number that is not finite or too large, or a negative size.
        """
        try:
            image = np.array([operator.index(d["image_id"]) for d in detections], np.int64)
            category = np.array([operator.index(d["category_id"]) for d in detections], np.int32)
        except OverflowError as error:
            raise BenchError("an image or category id of a detection is too large") from error
        box = np.array([d["bbox"] for d in detections], np.float64).reshape(-1, 4)
        return cls.from_arrays(image, category, box, np.array([d["score"] for d in detections], np.float64))

    @classmethod
    def from_arrays(
        cls,
        image: npt.NDArray[np.integer[Any]],
        category: npt.NDArray[np.integer[Any]],
        box: npt.NDArray[np.floating[Any]],
        score: npt.NDArray[np.floating[Any]],
    ) -> "Predictions":
        """As `from_coco`: image and category ids (N each), boxes x, y, w, h in px (N × 4), scores (N)."""
        steps = np.rint(np.asarray(box, np.float64) * STEPS_PER_PX)
        fits = (np.abs(steps) <= np.iinfo(np.int32).max).all(axis=1)  # False for NaN as well
        if not fits.all():
            raise BenchError(f"detection {np.flatnonzero(~fits)[0]}: its box is not finite, or too large")
        with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused
            rounded = np.asarray(score).astype(np.float32) + np.float32(0)  # + 0 turns -0 into 0
        return cls(Columns(image.astype(np.int64), category.astype(np.int32), steps.astype(np.int32), rounded))

    def detections(self) -> Detections:
        """What is scored: boxes in px, as they were stored."""
        columns = self.columns
        return Detections(
            columns.image.astype(np.int64),
            columns.category.astype(np.int64),
            columns.box / STEPS_PER_PX,
            columns.score.astype(np.float64),
        )

    def to_coco(self) -> list[dict[str, Any]]:
        """A COCO result list of plain Python numbers, in order; `from_coco` of it gives the same
        predictions."""
        columns = self.columns
        rows = zip(
            columns.image.tolist(),
            columns.category.tolist(),
            (columns.box / STEPS_PER_PX).tolist(),
            columns.score.tolist(),
            strict=True,
        )
        return [{"image_id": i, "category_id": c, "bbox": b, "score": s} for i, c, b, s in rows]

    def digest(self) -> str:
        """SHA-256, hexadecimal, of the content; the same on every machine and with every compression
        library."""
        return digest(self.columns).hex()

    def save(self, path: Path) -> None:
        """Write the file as a whole or not at all; its bytes, unlike `digest`, may depend on the library
        version.

        Raises:
            BenchError: the file cannot be written.
        """
        try:
            write_atomically(path, lambda part: part.write_bytes(pack(self.columns)))
        except OSError as error:
            raise BenchError(f"{path}: cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote.

        Raises:
            BenchError: absent, unreadable, or not intact (checksum); names the file.
        """
        try:
            return cls(unpack(path.read_bytes()))
        except OSError as error:
            raise BenchError(f"{path}: cannot be read: {error.strerror}") from error
        except (CorruptError, BenchError) as error:
            raise BenchError(f"{path}: {error}; make the predictions again") from error
