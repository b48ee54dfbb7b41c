"""Positive samples of mmdet's dense heads, from what a head hands to its own pieces while it computes its loss."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.detectors.lean.box_math import aligned_overlaps
from bench.detectors.lean.host import on_host, send
from bench.detectors.positives import Positives

Calls = list[tuple[dict[str, Any], Any]]
"""Arguments by name, and the result."""


class Watch(NamedTuple):
    """How the positive samples of a kind of head are found."""

    record: Callable[[Any], AbstractContextManager[Calls]]
    """Keeps what the head hands to its pieces while it computes its loss."""
    positives: Callable[[Any, Calls], Positives | None]
    """The samples, from what was kept; None where the batch has none."""


class _Samples(NamedTuple):
    """P positive samples of an anchor head."""

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    labels: Tensor
    label_weights: Tensor
    targets: Tensor
    box_weights: Tensor
    """Ones for ATSS, which has none."""


def _retinanet(head: Any, calls: Calls) -> Positives | None:
    s = _samples(head, calls)
    count = _count(s.labels)
    if not len(s.labels):
        return None
    cls = head.loss_cls(s.logits, s.labels, s.label_weights, reduction_override="none").sum(1)
    reg = head.loss_bbox(s.deltas, s.targets, s.box_weights, reduction_override="none").sum(1)
    u = aligned_overlaps(head.bbox_coder.decode(s.anchors, s.deltas), head.bbox_coder.decode(s.anchors, s.targets))
    n = calls[0][0]["avg_factor"]
    return Positives(cls, reg, s.logits.sigmoid(), s.labels, u, n, n, count)


def _atss(head: Any, calls: Calls) -> Positives | None:
    s = _samples(head, calls)
    count = _count(s.labels)
    centerness_sum = _mean(sum(result[3] for _, result in calls)).clamp(min=1)
    if not len(s.labels):
        return None
    cls = head.loss_cls(s.logits, s.labels, s.label_weights, reduction_override="none").sum(1)
    boxes = head.bbox_coder.decode(s.anchors, s.deltas)
    centerness = head.centerness_target(s.anchors, s.targets)
    reg = head.loss_bbox(boxes, s.targets, weight=centerness, reduction_override="none")
    n = calls[0][0]["avg_factor"]
    return Positives(
        cls, reg, s.logits.sigmoid(), s.labels, aligned_overlaps(boxes, s.targets), n, centerness_sum, count
    )


def _ssd(head: Any, calls: Calls) -> Positives | None:
    from mmdet.models.losses import smooth_l1_loss

    s = _samples(head, calls)
    count = _count(s.labels)
    if not len(s.labels):
        return None
    # mmdet's SSD head has no loss modules.
    cls = cross_entropy(s.logits, s.labels, reduction="none") * s.label_weights
    beta = head.train_cfg["smoothl1_beta"]
    reg = smooth_l1_loss(s.deltas, s.targets, s.box_weights, beta=beta, reduction="none").sum(1)
    u = aligned_overlaps(head.bbox_coder.decode(s.anchors, s.deltas), head.bbox_coder.decode(s.anchors, s.targets))
    n = calls[0][0]["avg_factor"]
    return Positives(cls, reg, s.logits.softmax(1), s.labels, u, n, n, count)


def _yolox(head: Any, calls: Calls) -> Positives | None:
    by_loss = {call["of"]: call["args"] for call, _ in calls}
    sampled = [result.pos_gt_labels for call, result in calls if call["of"] == "sample"]
    labels = torch.cat(sampled) if sampled else torch.empty(0, dtype=torch.long, device=_device(head))
    count = _count(labels)
    if not len(labels):
        return None
    (logits, cls_targets), (boxes, targets) = by_loss["loss_cls"][:2], by_loss["loss_bbox"][:2]
    cls = head.loss_cls(logits, cls_targets, reduction_override="none").sum(1)
    reg = head.loss_bbox(boxes, targets, reduction_override="none")
    return Positives(cls, reg, logits.sigmoid(), labels, aligned_overlaps(boxes, targets), count, count, count)


@contextmanager
def _single_calls(head: Any) -> Iterator[Calls]:
    """The calls of `loss_by_feat_single`: one a level, or one an image (SSD)."""
    plain, calls = head.loss_by_feat_single, []
    signature = inspect.signature(plain)

    def single(*args: Any, **kwargs: Any) -> Any:
        result = plain(*args, **kwargs)
        calls.append((signature.bind(*args, **kwargs).arguments, result))
        return result

    head.loss_by_feat_single = single
    try:
        yield calls
    finally:
        del head.loss_by_feat_single


@contextmanager
def _yolox_calls(head: Any) -> Iterator[Calls]:
    """The calls of YOLOX's loss modules and of its sampler; its class targets hide the class where the IoU is 0."""
    plain, calls = head.sampler.sample, []

    def sample(*args: Any, **kwargs: Any) -> Any:
        result = plain(*args, **kwargs)
        calls.append(({"of": "sample", "args": args}, result))
        return result

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda _, args, result: calls.append(({"of": name, "args": args}, result))

    hooks = [getattr(head, name).register_forward_hook(keep(name)) for name in ("loss_cls", "loss_bbox")]
    head.sampler.sample = sample
    try:
        yield calls
    finally:
        del head.sampler.sample
        for hook in hooks:
            hook.remove()


def _samples(head: Any, calls: Calls) -> _Samples:
    found = []
    for call, _ in calls:
        labels, known = call["labels"].reshape(-1), on_host(call["labels"]).reshape(-1)
        at = send(((known >= 0) & (known < head.num_classes)).nonzero().squeeze(1), labels.device)
        anchors = call["anchors"] if "anchors" in call else call["anchor"]
        targets = call["bbox_targets"].reshape(-1, 4)[at]
        weights = call["bbox_weights"].reshape(-1, 4)[at] if "bbox_weights" in call else torch.ones_like(targets)
        found.append(
            _Samples(
                logits=_rows(call["cls_score"], head.cls_out_channels)[at],
                deltas=_rows(call["bbox_pred"], 4)[at],
                anchors=anchors.reshape(-1, 4)[at],
                labels=labels[at],
                label_weights=call["label_weights"].reshape(-1)[at],
                targets=targets,
                box_weights=weights,
            )
        )
    return _Samples(*(torch.cat(column) for column in zip(*found, strict=True)))


def _rows(maps: Tensor, width: int) -> Tensor:
    """A level's [n, k * width, h, w], or an image's [rows, width], -> [rows, width] in the order of the targets."""
    return maps.permute(0, 2, 3, 1).reshape(-1, width) if maps.dim() == 4 else maps


def _count(labels: Tensor) -> Tensor:
    """Runs in every process, also in one without positive samples: it talks to the others."""
    return _mean(torch.full((), float(len(labels)), device=labels.device)).clamp(min=1)


def _mean(value: Any) -> Tensor:
    from mmdet.utils import reduce_mean

    mean: Tensor = reduce_mean(value)
    return mean


def _device(head: Any) -> torch.device:
    device: torch.device = next(head.parameters()).device
    return device


HEADS = {
    "RetinaHead": Watch(_single_calls, _retinanet),
    "ATSSHead": Watch(_single_calls, _atss),
    "SSDHead": Watch(_single_calls, _ssd),
    "YOLOXHead": Watch(_yolox_calls, _yolox),
}
"""By the name of mmdet's class."""
