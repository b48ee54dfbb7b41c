"""Every detector of the catalogue as small as a test wants it, and at full width."""

import json
from typing import Any

import torch
from torch import nn

from bench.schema.catalog import CATALOG, FAMILIES
from bench.schema.detector import DetectorScale

_RESNET = {"depth": 18, "width": 8}
_DENSE = {"width": 8, "neck_width": 8, "head_convs": 1, "anchor_scale": 2.0}
_TRANSFORMER = {"width": 16, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "feedforward": 32, "queries": 10}

SMALL: dict[str, dict[str, Any]] = {
    "retinanet-r18": _DENSE,
    "retinanet-r50": {"width": 8, "neck_width": 8, "head_convs": 1},
    "atss-r50": {**_DENSE, "depth": 18, "head_init_std": 0.08},
    "ssdlite-mbv2": {
        "widen": 0.25,
        "stages": [2, 4, 7],
        "ssd": {"extra_widths": [32, 16], "anchor_sizes": [8, 16, 24, 32, 48, 64]},
    },
    "yolox-tiny": {"widen": 0.125, "deepen": 0.2, "head_convs": 1},
    "yolox-nano": {"widen": 0.125},
    "faster-rcnn-r50": {
        **_RESNET,
        "neck_width": 8,
        "anchor_scale": 4.0,
        "rcnn": {"fc_width": 16, "proposals": 50, "sampled": 32},
    },
    "detr-r50": {**_RESNET, "stages": [2], "transformer": _TRANSFORMER},
    "deformable-detr-r50": {**_RESNET, "stages": [1, 2], "transformer": {**_TRANSFORMER, "levels": 3}},
    "deformable-detr-refine-r50": {**_RESNET, "stages": [2], "transformer": {**_TRANSFORMER, "levels": 3}},
    "dab-detr-r50": {**_RESNET, "stages": [1], "transformer": {**_TRANSFORMER, "dropout": 0.0}},
}


def make_scale(name: str, side: int, **changes: Any) -> DetectorScale:
    """The scale of a detector for square inputs of `side` px; full width unless `changes` say otherwise."""
    nms = {} if FAMILIES[CATALOG[name].family].predicts_set else {"nms_iou": 0.5}
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


def shapes(config: Any) -> dict[str, torch.Size]:
    """The state of what a configuration of mmdet builds, by name; nothing is allocated."""
    from mmdet.registry import MODELS

    with torch.device("meta"):
        return {name: value.shape for name, value in MODELS.build(config).state_dict().items()}


def drawn_batch(side: int, images: int = 2) -> dict[str, list[Any]]:
    """Noise with two boxes of classes 0 and 2 on each image, in the form of a detector's loader."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(0)
    shape = (side, side)
    facts = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": (1.0, 1.0)}
    batch: dict[str, list[Any]] = {"inputs": [], "data_samples": []}
    for _ in range(images):
        sample = DetDataSample(metainfo=facts)
        boxes = torch.tensor([[4.0, 6, 30, 40], [20, 20, 60, 50]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]))
        batch["data_samples"].append(sample)
        batch["inputs"].append(torch.randint(0, 256, (3, *shape), generator=generator, dtype=torch.uint8))
    return batch


def settle(model: nn.Module, batch: dict[str, list[Any]]) -> None:
    """Give activations the sizes that they have in a trained detector, in training as in eval mode.

    Every BatchNorm gets the batch's statistics. mmdet starts the last one of a residual branch at weight 0: there the
    branch would add nothing, and what is added to would stay on the grid that it came on.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        if not norm.weight.any():
            nn.init.constant_(norm.weight, 0.5)
    with torch.no_grad():
        losses(model.train(), batch)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def losses(model: Any, batch: dict[str, list[Any]]) -> torch.Tensor:
    """The summed loss of a batch, as training sees it."""
    loss: torch.Tensor = model.parse_losses(model(**model.data_preprocessor(batch, True), mode="loss"))[0]
    return loss
