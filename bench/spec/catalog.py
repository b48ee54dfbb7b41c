"""The detectors that a row may name. Imports no torch: planning reads it."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A detector of mmdet: its configuration file, and which scaling code understands it."""

    config: str
    """Below mmdet's `configs/`."""
    family: str
    version: int = 1
    """Raise it when a built detector computes something else."""


CATALOG = {
    "retinanet-r18": Entry("retinanet/retinanet_r18_fpn_1x_coco.py", "retinanet"),
    "retinanet-r50": Entry("retinanet/retinanet_r50_fpn_1x_coco.py", "retinanet"),
}
