"""A detector of the catalogue, from mmdet's own configuration, scaled as the tier declares."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.detectors.compat import load_mmdet
from bench.spec.catalog import CATALOG
from bench.spec.detector import DetectorScale

RESNET_STAGES = (1, 2, 4, 8)
"""Channels of a ResNet's stages over those of the first, before a bottleneck's expansion."""


def build_detector(name: str, scale: DetectorScale, classes: tuple[str, ...], seed: int) -> nn.Module:
    """Build and initialise a detector; its weights hang on `seed` alone.

    Returns mmdet's model in train mode, with nothing frozen and no checkpoint loaded.
    """
    load_mmdet()
    from mmdet.registry import MODELS

    config = model_config(name, scale, len(classes))
    torch.manual_seed(seed)
    model: Any = MODELS.build(config)
    model.init_weights()
    model.dataset_meta = {"classes": classes}
    # Channels last is the faster layout on CPUs and GPUs alike.
    built: nn.Module = model.to(memory_format=torch.channels_last)
    return built


def model_config(name: str, scale: DetectorScale, num_classes: int) -> Any:
    """mmdet's configuration of the model, changed as `scale` says."""
    load_mmdet()
    import mmdet
    from mmengine.config import Config

    entry = CATALOG[name]
    folder = Path(mmdet.__file__).parent / ".mim" / "configs"
    model = Config.fromfile(folder / entry.config).model
    model.data_preprocessor.pad_size_divisor = scale.input.pad_divisor
    model.test_cfg.update(
        score_thr=scale.test.score_threshold,
        nms_pre=scale.test.pre_nms,
        max_per_img=scale.test.max_per_image,
    )
    model.test_cfg.nms.iou_threshold = scale.test.nms_iou
    _FAMILIES[entry.family](model, scale, num_classes)
    return model


def _retinanet(model: Any, scale: DetectorScale, num_classes: int) -> None:
    # Freezing is a matter of the recipe, and checkpoints are loaded by us, with their hash checked.
    model.backbone.update(frozen_stages=-1, norm_eval=False, init_cfg=None)
    if scale.width is not None:
        expansion = 1 if model.backbone.depth < 50 else 4
        model.backbone.base_channels = scale.width
        model.backbone.stem_channels = scale.width
        model.neck.in_channels = [scale.width * stage * expansion for stage in RESNET_STAGES]
    if scale.neck_width is not None:
        model.neck.out_channels = scale.neck_width
        model.bbox_head.update(in_channels=scale.neck_width, feat_channels=scale.neck_width)
    if scale.head_convs is not None:
        model.bbox_head.stacked_convs = scale.head_convs
    if scale.anchor_scale is not None:
        model.bbox_head.anchor_generator.octave_base_scale = scale.anchor_scale
    if scale.head_init_std is not None:
        reg = dict(type="Normal", name="retina_reg", std=0.01)
        cls = dict(type="Normal", name="retina_cls", std=0.01, bias_prob=0.01)
        std = scale.head_init_std
        model.bbox_head.init_cfg = dict(type="Normal", layer="Conv2d", std=std, override=[cls, reg])
    model.bbox_head.num_classes = num_classes


_FAMILIES = {"retinanet": _retinanet}
