"""DETR, DAB-DETR and Deformable DETR: a ResNet, a transformer, a fixed number of queries."""

from collections.abc import Iterator
from typing import Any

from bench.detectors.families.resnet import group_norm, scale_resnet
from bench.schema.detector import DetectorScale, TransformerScale


class DETR:
    """DETR: one feature level, attention over all of its places, a class a query."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        _common(model, scale, classes, candidates=1)


class DABDETR:
    """DAB-DETR: queries are boxes, and one query may be several classes."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        _common(model, scale, classes, candidates=classes)


class DeformableDETR:
    """Deformable DETR, with or without refinement: several levels, attention to a few places of each."""

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """As `bench.detectors.protocol`."""
        _common(model, scale, classes, candidates=classes)
        transformer = scale.transformer or TransformerScale()
        if transformer.width is not None:
            model.neck.norm_cfg = group_norm(transformer.width)
        levels = transformer.levels or model.num_feature_levels
        model.num_feature_levels = model.neck.num_outs = levels
        model.encoder.layer_cfg.self_attn_cfg.num_levels = levels
        model.decoder.layer_cfg.cross_attn_cfg.num_levels = levels


def _common(model: Any, scale: DetectorScale, num_classes: int, candidates: int) -> None:
    scale_resnet(model, scale)
    sizes = scale.transformer or TransformerScale()
    if sizes.width is not None:
        model.neck.out_channels = model.bbox_head.embed_dims = sizes.width
        model.positional_encoding.num_feats = sizes.width // 2
    _set(model.positional_encoding, temperature=sizes.temperature)
    for attention in _attentions(model):
        _set(attention, embed_dims=sizes.width, num_heads=sizes.heads)
        # Each of mmdet's attention classes has its own names for dropout; None keeps all of them.
        present = {key: sizes.dropout for key in ("dropout", "attn_drop", "proj_drop") if key in attention}
        _set(attention, **(present or dict(dropout=sizes.dropout)))
    for coder in (model.encoder, model.decoder):
        ffn = coder.layer_cfg.ffn_cfg
        _set(ffn, embed_dims=sizes.width, feedforward_channels=sizes.feedforward, ffn_drop=sizes.dropout)
    _set(model.encoder, num_layers=sizes.encoder_layers)
    _set(model.decoder, num_layers=sizes.decoder_layers)
    _set(model, num_queries=sizes.queries)
    model.bbox_head.num_classes = num_classes
    # mmdet takes the best of all scores, and fails where it is asked for more than there are.
    model.test_cfg.max_per_img = min(scale.test.max_per_image, model.num_queries * candidates)


def _attentions(model: Any) -> Iterator[Any]:
    yield model.encoder.layer_cfg.self_attn_cfg
    yield model.decoder.layer_cfg.self_attn_cfg
    yield model.decoder.layer_cfg.cross_attn_cfg


def _set(config: Any, **values: Any) -> None:
    config.update({key: value for key, value in values.items() if value is not None})
