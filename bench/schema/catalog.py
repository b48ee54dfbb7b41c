"""The detectors that a row may name: built-in ones, and classes of the user's. Planning reads it, so no torch here."""

import re
from typing import NamedTuple

from bench.errors import UsageError
from bench.schema.classes import check_class
from bench.schema.forms import SLUG

PROTOCOL = "bench.detectors.protocol:DetectorFamily"
"""A class that derives from it inherits an empty `configure`, which does not count."""


class Family(NamedTuple):
    """Detectors that are scaled by the same code."""

    target: str
    """Its class, `package.module:Class`."""
    scalable: frozenset[str] | None = None
    """Fields of DetectorScale that change it, beside input, test and init; None: its class says so when it builds."""
    predicts_set: bool = False
    """No NMS and no score threshold: the best queries are the detections."""
    reshaped: bool | None = None
    """Whether methods can change its losses sample by sample; None: it shows when the detector is built."""
    stages: int = 4
    """Of its backbone."""


_FAMILIES = "bench.detectors.families"
_RESNET = frozenset({"depth", "width"})
_DENSE = _RESNET | {"neck_width", "head_convs", "anchor_scale", "head_init_std"}
_TRANSFORMER = _RESNET | {"stages", "transformer"}
FAMILIES = {
    "retinanet": Family(f"{_FAMILIES}.dense:RetinaNet", _DENSE, reshaped=True),
    "atss": Family(f"{_FAMILIES}.dense:ATSS", _DENSE, reshaped=True),
    "ssdlite": Family(f"{_FAMILIES}.ssdlite:SSDLite", frozenset({"widen", "stages", "ssd"}), reshaped=True, stages=8),
    "yolox": Family(
        f"{_FAMILIES}.yolox:YOLOX", frozenset({"widen", "deepen", "neck_width", "head_convs"}), reshaped=True
    ),
    "faster_rcnn": Family(
        f"{_FAMILIES}.faster_rcnn:FasterRCNN", _RESNET | {"neck_width", "anchor_scale", "rcnn"}, reshaped=False
    ),
    "detr": Family(f"{_FAMILIES}.detrs:DETR", _TRANSFORMER, predicts_set=True, reshaped=False),
    "deformable_detr": Family(f"{_FAMILIES}.detrs:DeformableDETR", _TRANSFORMER, predicts_set=True, reshaped=False),
    "dab_detr": Family(f"{_FAMILIES}.detrs:DABDETR", _TRANSFORMER, predicts_set=True, reshaped=False),
    "onnx": Family("bench.detectors.onnx_detector:OnnxDetector", frozenset({"onnx"}), reshaped=False),
}


class Entry(NamedTuple):
    """A built-in detector of mmdet."""

    config: str
    """Its configuration file below mmdet's `configs/`."""
    family: str
    version: int = 1
    """Raise it when a built detector computes something else."""


CATALOG = {
    "retinanet-r18": Entry("retinanet/retinanet_r18_fpn_1x_coco.py", "retinanet"),
    "retinanet-r50": Entry("retinanet/retinanet_r50_fpn_1x_coco.py", "retinanet"),
    "atss-r50": Entry("atss/atss_r50_fpn_1x_coco.py", "atss"),
    "ssdlite-mbv2": Entry("ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py", "ssdlite"),
    "yolox-tiny": Entry("yolox/yolox_tiny_8xb8-300e_coco.py", "yolox"),
    "yolox-nano": Entry("yolox/yolox_nano_8xb8-300e_coco.py", "yolox"),
    "faster-rcnn-r50": Entry("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", "faster_rcnn"),
    "detr-r50": Entry("detr/detr_r50_8xb2-150e_coco.py", "detr"),
    "deformable-detr-r50": Entry("deformable_detr/deformable-detr_r50_16xb2-50e_coco.py", "deformable_detr"),
    "deformable-detr-refine-r50": Entry(
        "deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py", "deformable_detr"
    ),
    "dab-detr-r50": Entry("dab_detr/dab-detr_r50_8xb2-50e_coco.py", "dab_detr"),
}


ONNX = "onnx/"
"""Begins the name that a suite gives to a detector read from an ONNX file; what it is stands in the tier."""
ONNX_VERSION = 1
"""Raise it when the reading, the decoding or the NMS of ONNX detectors computes something else."""


_ONNX_NAME = re.compile(ONNX + SLUG.strip("^$"))


class DetectorFacts(NamedTuple):
    """What planning needs to know of a detector."""

    family: Family
    version: int
    config: str | None
    """None: the user's class names it."""


def detector_facts(name: str) -> DetectorFacts:
    """Facts of a built-in detector, of one from an ONNX file (`onnx/NAME`), or of the class `package.module:Class`.

    A class is read from its source without importing it.

    Raises UsageError for an unknown name, a class that cannot be found, or one without `version` or `configure`.
    """
    if name in CATALOG:
        entry = CATALOG[name]
        return DetectorFacts(FAMILIES[entry.family], entry.version, entry.config)
    if _ONNX_NAME.fullmatch(name):
        return DetectorFacts(FAMILIES["onnx"], ONNX_VERSION, None)
    if name.startswith(ONNX):
        raise UsageError(f"detector {name!r}: write {ONNX}NAME in lower case, digits, `.`, `_`, `+` and `-`")
    version, members = check_class("detector", name, name, PROTOCOL, CATALOG)
    if "configure" not in members:
        raise UsageError(f"detector {name!r}: its class needs a method `configure(self, model, scale, classes)`")
    return DetectorFacts(Family(name), version, None)


def family_of(name: str) -> str:
    """Key in FAMILIES of a detector that has one; empty for a user's own class."""
    return "onnx" if name.startswith(ONNX) else CATALOG[name].family if name in CATALOG else ""


def is_detector(name: str) -> bool:
    """Whether `detector_facts` knows it."""
    try:
        detector_facts(name)
    except UsageError:
        return False
    return True
