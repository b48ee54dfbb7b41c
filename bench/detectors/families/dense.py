"""RetinaNet and ATSS: an FPN and one head for all levels."""

from typing import Any

from bench.detectors.families.resnet import group_norm, scale_resnet
from bench.schema.detector import DetectorScale


class RetinaNet:
    """RetinaNet: nine anchors a place, focal loss."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        _dense(model, scale, classes)
        if scale.head_init_std is not None:
            reg = dict(type="Normal", name="retina_reg", std=0.01)
            cls = dict(type="Normal", name="retina_cls", std=0.01, bias_prob=0.01)
            model.bbox_head.init_cfg = _normal(scale.head_init_std, [cls, reg])


class ATSS:
    """ATSS: one anchor a place, and a centerness."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        _dense(model, scale, classes)
        if scale.neck_width is not None:
            model.bbox_head.norm_cfg = group_norm(scale.neck_width)
        if scale.head_init_std is not None:
            others = [dict(type="Normal", name=name, std=0.01) for name in ("atss_reg", "atss_centerness")]
            cls = dict(type="Normal", name="atss_cls", std=0.01, bias_prob=0.01)
            model.bbox_head.init_cfg = _normal(scale.head_init_std, [cls, *others])


def _dense(model: Any, scale: DetectorScale, num_classes: int) -> None:
    scale_resnet(model, scale)
    test, head = scale.test, model.bbox_head
    model.test_cfg.update(score_thr=test.score_threshold, nms_pre=test.pre_nms, max_per_img=test.max_per_image)
    model.test_cfg.nms.iou_threshold = test.nms_iou
    if scale.neck_width is not None:
        model.neck.out_channels = scale.neck_width
        head.update(in_channels=scale.neck_width, feat_channels=scale.neck_width)
    if scale.head_convs is not None:
        head.stacked_convs = scale.head_convs
    if scale.anchor_scale is not None:
        head.anchor_generator.octave_base_scale = scale.anchor_scale
    head.num_classes = num_classes


def _normal(std: float, override: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(type="Normal", layer="Conv2d", std=std, override=override)
