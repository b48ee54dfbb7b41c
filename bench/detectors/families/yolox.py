"""YOLOX: a CSP-Darknet, its path-aggregating neck, a head a level."""

from typing import Any

from bench.schema.detector import DetectorScale

PAD_VALUE = 114
"""Grey level of the letterbox, in 0..255: the network reads unnormalised BGR."""
STAGE_WIDTHS = (256, 512, 1024)
"""Channels of the three stages that the neck reads, at factor 1."""


class YOLOX:
    """Any size of YOLOX; a folded one has convolutions with biases in place of BatchNorm."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        backbone, neck, head = model.backbone, model.neck, model.bbox_head
        model.data_preprocessor.pad_value = PAD_VALUE
        # Random sizes of a batch are augmentation, so the recipe's; mmdet's 320 to 640 px fit one input size only.
        model.data_preprocessor.pop("batch_augments", None)
        if scale.widen is not None:
            backbone.widen_factor = scale.widen
            neck.in_channels = [int(width * scale.widen) for width in STAGE_WIDTHS]
            neck.out_channels = neck.in_channels[0]
            head.update(in_channels=neck.out_channels, feat_channels=neck.out_channels)
        if scale.neck_width is not None:
            neck.out_channels = scale.neck_width
            head.update(in_channels=scale.neck_width, feat_channels=scale.neck_width)
        if scale.deepen is not None:
            backbone.deepen_factor = scale.deepen
            neck.num_csp_blocks = max(round(3 * scale.deepen), 1)
        if scale.head_convs is not None:
            head.stacked_convs = scale.head_convs
        if scale.init.folded:
            for part in (backbone, neck, head):
                part.norm_cfg = None
        head.num_classes = classes
        model.test_cfg.score_thr = scale.test.score_threshold
        # mmdet's YOLOX has no limit of its own; its NMS has.
        model.test_cfg.nms.update(iou_threshold=scale.test.nms_iou, max_num=scale.test.max_per_image)
