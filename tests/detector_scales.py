"""Every detector of the catalogue as small as a test wants it, and at full width."""

import json
from typing import Any

from bench.spec.catalog import CATALOG, DETRS
from bench.spec.detector import DetectorScale

_RESNET = {"depth": 18, "width": 8}
_DENSE = {**_RESNET, "neck_width": 8, "head_convs": 1, "anchor_scale": 2.0}
_TRANSFORMER = {"width": 16, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "feedforward": 32, "queries": 10}

SMALL: dict[str, dict[str, Any]] = {
    "retinanet-r18": _DENSE,
    "retinanet-r50": {"width": 8, "neck_width": 8, "head_convs": 1},
    "atss-r50": {**_DENSE, "head_init_std": 0.08},
    "ssdlite-mbv2": {
        "widen": 0.25,
        "stages": [2, 4, 7],
        "ssd": {"extra_widths": [32, 16], "anchor_sizes": [8, 16, 24, 32, 48, 64]},
    },
    "yolox-tiny": {"widen": 0.125, "deepen": 0.33, "head_convs": 1},
    "yolox-nano": {"widen": 0.125},
    "faster-rcnn-r50": {
        **_RESNET,
        "neck_width": 8,
        "anchor_scale": 4.0,
        "rcnn": {"fc_width": 16, "proposals": 50, "sampled": 32},
    },
    "detr-r50": {**_RESNET, "stages": [2], "transformer": _TRANSFORMER},
    "deformable-detr-r50": {**_RESNET, "stages": [1, 2], "transformer": {**_TRANSFORMER, "levels": 3}},
    "deformable-detr-refine-r50": {**_RESNET, "stages": [1, 2], "transformer": {**_TRANSFORMER, "levels": 2}},
    "dab-detr-r50": {**_RESNET, "stages": [1], "transformer": {**_TRANSFORMER, "dropout": 0.0}},
}


def make_scale(name: str, side: int, **changes: Any) -> DetectorScale:
    """The scale of a detector for square inputs of `side` px; full width unless `changes` say otherwise."""
    nms = {} if CATALOG[name].family in DETRS else {"nms_iou": 0.5}
    ratio = not name.startswith("ssdlite")
    scale = {
        "input": {"size": [side, side], "keep_ratio": ratio, "pad_divisor": side if name.startswith("yolox") else 32},
        "test": {"batch": 2, "score_threshold": 0.0, "max_per_image": 20, **nms},
        "init": {"kind": "scratch"},
        **changes,
    }
    return DetectorScale.model_validate_json(json.dumps(scale))


def small_scale(name: str, side: int = 64) -> DetectorScale:
    """The smallest useful scale."""
    return make_scale(name, side, **SMALL[name])
