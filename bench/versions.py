"""The versions of what computes results: parts of a job's identity, so that a raised one makes its records stale.

Raise the finest one that covers a change of numbers: a part, or the `version` of a method, a detector or the generator
of Shapes, each in its own place. A refactoring, or a mend that no job of anybody's can have met, raises none; a test
compares the predictions of fixed jobs with committed hashes and fails where they change without a raise.
"""

from collections.abc import Iterable

DATA = 1
DETECTORS = 1
ENGINE = 1
EVALUATION = 1
QUANTIZATION = 1
"""Whole rooms, in every identity since the first: to raise one makes every record stale."""

PARTS: dict[str, int] = dict.fromkeys(
    (
        *(f"data:{kind}" for kind in ("voc", "coco", "shapes-voc", "shapes-coco")),
        *(f"metric:{variant}" for variant in ("coco", "voc07", "voc12")),
        *(
            f"observer:{kind}"
            for kind in ("minmax", "ema_minmax", "mse", "ema_mse", "lsq", "percentile", "std", "pot_mode")
        ),
        "training",
        "placement",
        "calibration",
        "prediction",
    ),
    1,
)
"""Of what single jobs use. Only a version above 1 stands in an identity."""


def of_job(parts: Iterable[str], quantized: bool) -> dict[str, int]:
    """What stands in the protocol of a job that uses these parts."""
    rooms = {"data": DATA, "detectors": DETECTORS, "engine": ENGINE, "evaluation": EVALUATION}
    return {**rooms, **({"quantization": QUANTIZATION} if quantized else {}), **_raised(parts)}


def of_scoring(parts: Iterable[str]) -> dict[str, int]:
    """What stands in the protocol of predictions that were computed elsewhere."""
    return {"data": DATA, "evaluation": EVALUATION, **_raised(parts)}


def _raised(parts: Iterable[str]) -> dict[str, int]:
    return {part: version for part in sorted(set(parts)) if (version := PARTS.get(part, 1)) > 1}
