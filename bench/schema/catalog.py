"""The detectors that a row may name. Imports no torch: planning reads it."""

from typing import Literal, NamedTuple

Family = Literal[
    "retinanet", "atss", "ssdlite", "yolox", "faster_rcnn", "detr", "deformable_detr", "dab_detr"
]  # fmt: skip


class Entry(NamedTuple):
    """A detector of mmdet: its configuration file, and which scaling code understands it."""

    config: str
    """Below mmdet's `configs/`."""
    family: Family
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

DETRS: frozenset[Family] = frozenset({"detr", "deformable_detr", "dab_detr"})
"""Families that predict a set: no NMS and no score threshold, their best queries are the detections."""

RESHAPED: frozenset[Family] = frozenset({"retinanet", "atss", "ssdlite", "yolox"})
"""Families whose losses a method may change sample by sample."""

_RESNET = {"depth", "width"}
_DENSE = _RESNET | {"neck_width", "head_convs", "anchor_scale", "head_init_std"}
_TRANSFORMER = _RESNET | {"stages", "transformer"}
SCALABLE: dict[Family, frozenset[str]] = {
    "retinanet": frozenset(_DENSE),
    "atss": frozenset(_DENSE),
    "ssdlite": frozenset({"widen", "stages", "ssd"}),
    "yolox": frozenset({"widen", "deepen", "neck_width", "head_convs"}),
    "faster_rcnn": frozenset(_RESNET | {"neck_width", "anchor_scale", "rcnn"}),
    "detr": frozenset(_TRANSFORMER),
    "deformable_detr": frozenset(_TRANSFORMER),
    "dab_detr": frozenset(_TRANSFORMER),
}
"""The fields of DetectorScale that change a detector of the family, beside input, test and init."""
