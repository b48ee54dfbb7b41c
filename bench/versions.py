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

PARTS = {
    "placement": 2,  # an image has a sign unless the policy says otherwise
    "calibration": 2,  # a tensor that several layers read is observed once
    "data:coco": 2,  # boxes without extent or outside of their image count in scoring, and are no targets of training
    "continued set": 2,  # a DETR's encoder and decoder were drawn anew where training goes on from a checkpoint
    "training": 2,  # last bits: the focal loss in one pass, fused optimizers, weights of shared heads quantized once
}
"""Of what single jobs use: `data:KIND`, `metric:VARIANT`, `observer:KIND`, `placement`, `calibration`, `training`,
`prediction`, `continued set` (training of a DETR that goes on from a checkpoint). What is not named here has version 1,
and only a version above 1 stands in an identity."""


def of_job(parts: Iterable[str], quantized: bool) -> dict[str, int]:
    """What stands in the protocol of a job that uses these parts."""
    rooms = {"data": DATA, "detectors": DETECTORS, "engine": ENGINE, "evaluation": EVALUATION}
    return {**rooms, **({"quantization": QUANTIZATION} if quantized else {}), **_raised(parts)}


def of_scoring(parts: Iterable[str]) -> dict[str, int]:
    """What stands in the protocol of predictions that were computed elsewhere."""
    return {"data": DATA, "evaluation": EVALUATION, **_raised(parts)}


def _raised(parts: Iterable[str]) -> dict[str, int]:
    return {part: version for part in sorted(set(parts)) if (version := PARTS.get(part, 1)) > 1}
