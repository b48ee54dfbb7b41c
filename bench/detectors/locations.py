"""What a detector says at each of its locations (an anchor, a cell or a query), before anything is suppressed.

Locations of two passes over one image correspond by their number, so that two states of one network can be compared
place by place; a DETR's queries too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bench.errors import BenchError


class Locations(NamedTuple):
    """Of n images with L locations each, and C classes."""

    scores: Tensor
    """[n, L, C] between 0 and 1, as detections are ranked by them; no background."""
    boxes: Tensor
    """[n, L, 4] x1, y1, x2, y2 in one unit, px or shares of the image."""


class Decoding(Protocol):
    """From the raw outputs of a detector (`batch()`) to its locations.

    A model that is none of mmdet's has a method `locations(outputs)` of this form.
    """

    def __call__(self, outputs: Any) -> Locations:
        """Locations of the outputs; their number and order hang on the size of the input alone."""
        ...


def decoding_of(model: nn.Module) -> Decoding:
    """How the outputs of `model` are read; BenchError for a detector that decides by stages (Faster R-CNN)."""
    own: Decoding | None = getattr(model, "locations", None)
    if own is not None:
        return own
    head: Any = getattr(model, "bbox_head", None)
    kind = type(head).__name__
    if kind not in _HEADS:
        known = ", ".join(_HEADS)
        raise BenchError(f"outputs cannot be compared by location: the head is none of {known} but {kind}")
    read = _HEADS[kind]
    return lambda outputs: read(head, outputs)


def _anchors(head: Any, cls: list[Tensor], deltas: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Logits [n, L, C] and boxes [n, L, 4] of the levels' maps."""
    logits, flat = _flat(cls, head.cls_out_channels), _flat(deltas, 4)
    priors = torch.cat(head.prior_generator.grid_priors([level.shape[-2:] for level in cls], device=flat.device))
    boxes = head.bbox_coder.decode(priors.repeat(len(flat), 1), flat.reshape(-1, 4))
    return logits, boxes.view(flat.shape)


def _retinanet(head: Any, outputs: Any) -> Locations:
    logits, boxes = _anchors(head, *outputs)
    return Locations(logits.sigmoid(), boxes)


def _atss(head: Any, outputs: Any) -> Locations:
    cls, deltas, centerness = outputs
    logits, boxes = _anchors(head, cls, deltas)
    return Locations(logits.sigmoid() * _flat(centerness, 1).sigmoid(), boxes)


def _ssd(head: Any, outputs: Any) -> Locations:
    logits, boxes = _anchors(head, *outputs)
    return Locations(logits.softmax(-1)[..., :-1], boxes)


def _yolox(head: Any, outputs: Any) -> Locations:
    cls, deltas, objectness = outputs
    scores = _flat(cls, head.cls_out_channels).sigmoid() * _flat(objectness, 1).sigmoid()
    sizes = [level.shape[-2:] for level in cls]
    priors = torch.cat(head.prior_generator.grid_priors(sizes, device=scores.device, with_stride=True))
    return Locations(scores, head._bbox_decode(priors, _flat(deltas, 4)))


def _detr(head: Any, outputs: Any) -> Locations:
    """Of the last decoder layer."""
    from mmdet.structures.bbox import bbox_cxcywh_to_xyxy

    logits, boxes = (layers[-1] for layers in outputs)
    scores = logits.sigmoid() if head.loss_cls.use_sigmoid else logits.softmax(-1)[..., :-1]
    return Locations(scores, bbox_cxcywh_to_xyxy(boxes))


def _flat(levels: list[Tensor], width: int) -> Tensor:
    """Maps [n, k * width, h, w] of all levels -> [n, L, width]."""
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, width) for x in levels], dim=1)


_HEADS: dict[str, Callable[[Any, Any], Locations]] = {
    "RetinaHead": _retinanet,
    "ATSSHead": _atss,
    "SSDHead": _ssd,
    "YOLOXHead": _yolox,
    "DETRHead": _detr,
    "DABDETRHead": _detr,
    "DeformableDETRHead": _detr,
}
"""By the name of mmdet's class."""
