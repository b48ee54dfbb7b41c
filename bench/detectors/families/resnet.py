"""The backbone that most families share."""

from typing import Any

from bench.schema.detector import DetectorScale

STAGE_WIDTHS = (1, 2, 4, 8)
"""Channels of a ResNet's stages over those of the first, before a bottleneck's expansion."""


def scale_resnet(model: Any, scale: DetectorScale) -> None:
    """Depth, width and stages of the backbone, and the neck's input widths that follow from them."""
    backbone = model.backbone
    # Freezing is a matter of the recipe, and checkpoints are loaded by us, with their hash checked.
    backbone.update(frozen_stages=-1, norm_eval=False, init_cfg=None)
    backbone.norm_cfg.requires_grad = True
    if scale.depth is not None:
        backbone.depth = scale.depth
    if scale.width is not None:
        backbone.update(base_channels=scale.width, stem_channels=scale.width)
    if scale.stages is not None:
        # Stages that nothing reads would cost time and have no gradient.
        built = max(scale.stages) + 1
        backbone.update(
            out_indices=scale.stages, num_stages=built, strides=(1, 2, 2, 2)[:built], dilations=(1, 1, 1, 1)[:built]
        )
    if (scale.depth, scale.width, scale.stages) != (None, None, None):
        first = (scale.width or 64) * (1 if backbone.depth < 50 else 4)
        model.neck.in_channels = [first * STAGE_WIDTHS[stage] for stage in backbone.out_indices]


def group_norm(width: int) -> dict[str, Any]:
    """GroupNorm of 8 channels a group, as mmdet has at 256.

    With its 32 groups, 32 channels would be normalised one by one, and a level of one pixel would read all zeros.
    """
    return dict(type="GN", num_groups=max(1, width // 8), requires_grad=True)
