"""Faster R-CNN: region proposals from an FPN, then two layers that read each region."""

from typing import Any

from bench.detectors.families.resnet import scale_resnet
from bench.schema.detector import DetectorScale, RcnnScale


class FasterRCNN:
    """Faster R-CNN; the score threshold and NMS of the tier are those of the second stage."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        scale_resnet(model, scale)
        head, regions = model.roi_head.bbox_head, model.roi_head.bbox_roi_extractor
        # The same kernel whether or not a compiled mmcv is installed.
        regions.roi_layer.use_torchvision = True
        if scale.neck_width is not None:
            model.neck.out_channels = regions.out_channels = head.in_channels = scale.neck_width
            model.rpn_head.update(in_channels=scale.neck_width, feat_channels=scale.neck_width)
        if scale.anchor_scale is not None:
            model.rpn_head.anchor_generator.scales = [scale.anchor_scale]
        rcnn = scale.rcnn or RcnnScale()
        if rcnn.fc_width is not None:
            head.fc_out_channels = rcnn.fc_width
        if rcnn.proposals is not None:
            model.train_cfg.rpn_proposal.max_per_img = model.test_cfg.rpn.max_per_img = rcnn.proposals
        if rcnn.sampled is not None:
            model.train_cfg.rcnn.sampler.num = rcnn.sampled
        head.num_classes = classes
        test = scale.test
        model.test_cfg.rpn.nms_pre = test.pre_nms
        model.test_cfg.rcnn.update(score_thr=test.score_threshold, max_per_img=test.max_per_image)
        model.test_cfg.rcnn.nms.iou_threshold = test.nms_iou
