"""SSDLite on MobileNetV2: a pyramid that goes on beyond the backbone, a head a level."""

from math import ceil
from typing import Any

from bench.errors import BenchError
from bench.schema.detector import DetectorScale, Input

STAGE_WIDTHS = (16, 24, 32, 64, 96, 160, 320)
STAGE_STRIDES = (2, 4, 8, 16, 16, 32, 32, 32)
LAST_WIDTH = 1280
"""Of the eighth stage, which no factor below 1 makes narrower."""
MMDET_SIDE = 320
"""px, the input that mmdet's anchor sizes are for."""


class SSDLite:
    """SSDLite; anchor sizes follow the input's smaller side unless they are declared."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        backbone, neck, head = model.backbone, model.neck, model.bbox_head
        if scale.widen is not None:
            backbone.widen_factor = scale.widen
        if scale.stages is not None:
            backbone.out_indices = scale.stages
        stages = tuple(backbone.out_indices)
        inner = tuple(_width(stage, scale.widen or 1.0) for stage in stages)
        extra = scale.ssd.extra_widths if scale.ssd else tuple(neck.out_channels[len(neck.in_channels) :])
        widths = inner + extra
        neck.update(in_channels=inner, out_channels=widths)
        neck.update(level_strides=(2,) * len(extra), level_paddings=(1,) * len(extra))
        head.update(in_channels=widths, num_classes=classes)
        anchors = head.anchor_generator
        if scale.ssd is not None:
            sizes = list(scale.ssd.anchor_sizes)
        else:
            factor = min(scale.input.size) / MMDET_SIDE
            sizes = [size * factor for size in (*anchors.min_sizes, anchors.max_sizes[-1])]
        if len(sizes) != len(widths) + 1:
            raise BenchError(f"SSDLite has {len(widths)} levels here, so it needs {len(widths) + 1} anchor sizes")
        strides = _strides(scale.input, stages, len(extra))
        anchors.update(strides=strides, ratios=[[2, 3]] * len(widths), min_sizes=sizes[:-1], max_sizes=sizes[1:])
        test = scale.test
        model.test_cfg.update(score_thr=test.score_threshold, nms_pre=test.pre_nms, max_per_img=test.max_per_image)
        model.test_cfg.nms.iou_threshold = test.nms_iou


def _width(stage: int, widen: float) -> int:
    """Channels of a stage: multiples of 8, never more than a tenth below the exact ones, as in MobileNetV2."""
    if stage == len(STAGE_WIDTHS):
        return int(LAST_WIDTH * max(widen, 1.0))
    exact = STAGE_WIDTHS[stage] * widen
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _strides(size: Input, stages: tuple[int, ...], extra: int) -> list[tuple[int, int]]:
    """Distance of two anchors, px across and down: the input over the map, no power of 2 after some halvings."""
    sides = [ceil(side / size.pad_divisor) * size.pad_divisor for side in size.size]
    maps = [[ceil(side / STAGE_STRIDES[stage]) for side in sides] for stage in stages]
    for _ in range(extra):
        maps.append([ceil(side / 2) for side in maps[-1]])
    return [(round(sides[0] / across), round(sides[1] / down)) for across, down in maps]
