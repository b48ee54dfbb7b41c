"""The critical objective of Fisher-aware quantization (2407.03442, section 3): the loss of a DETR that must tell apart
the m categories of a group, and all others only from them.

Of a query's logits the critical ones stay; those of all other categories become one, `other`, which is their maximum;
a background's stays the last. Labels are mapped alike, and mmdet's own matching and losses run on the result.
Predictions never see any of this.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.errors import BenchError, UsageError

SCORES, TARGETS = "all_layers_cls_scores", "batch_gt_instances"
"""Arguments of the `loss_by_feat` of mmdet's DETR heads."""


class Group(NamedTuple):
    """Critical categories of a detector, by their numbers."""

    critical: tuple[int, ...]
    """m of them, in order."""
    classes: int
    """Of the detector: C, without a background."""

    @classmethod
    def of(cls, names: Sequence[str], classes: Sequence[str]) -> "Group":
        """The categories of those names among a detector's classes; UsageError where they are no group of them."""
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise UsageError(f"critical categories: no {', '.join(map(repr, unknown))} among {', '.join(classes)}")
        if not names:
            raise UsageError("critical categories: the group is empty")
        if len(set(names)) == len(classes):
            raise UsageError("critical categories: the group has all categories, so that no other one is left")
        return cls(tuple(sorted({classes.index(name) for name in names})), len(classes))

    @property
    def others(self) -> tuple[int, ...]:
        """The categories that become `other`."""
        return tuple(k for k in range(self.classes) if k not in self.critical)

    def logits(self, scores: Tensor) -> Tensor:
        """[..., C] -> [..., m + 1], and with a background [..., C + 1] -> [..., m + 2]."""
        other = scores[..., list(self.others)].max(-1, keepdim=True).values
        return torch.cat([scores[..., list(self.critical)], other, scores[..., self.classes :]], -1)

    def labels(self, labels: Tensor) -> Tensor:
        """Labels of objects, [n] in 0..C - 1, -> [n] in 0..m, where m is `other`."""
        new = torch.full((self.classes,), len(self.critical), dtype=labels.dtype, device=labels.device)
        new[list(self.critical)] = torch.arange(len(self.critical), dtype=labels.dtype, device=labels.device)
        return new[labels]

    def class_weights(self, weights: Tensor) -> Tensor:
        """Of a softmax head, [C + 1] -> [m + 2]; that of `other` is the mean of those that it stands for."""
        other = weights[list(self.others)].mean(0, keepdim=True)
        return torch.cat([weights[list(self.critical)], other, weights[self.classes :]])


class Objective:
    """alpha * L_A + L_F of images: the detector's own loss and that of the critical objective (eq. 8)."""

    def __init__(self, model: nn.Module, group: Group | None, alpha: float) -> None:
        """Without a group alpha * L_A. BenchError for a detector whose head is no DETR's of one stage."""
        self.model, self.group, self.alpha = model, group, alpha
        head: Any = getattr(model, "bbox_head", None)
        found = inspect.signature(head.loss_by_feat).parameters if hasattr(head, "loss_by_feat") else {}
        if group is not None and not (SCORES in found and getattr(model, "as_two_stage", False) is False):
            raise BenchError(f"the critical objective is one of DETRs of one stage; the head is {type(head).__name__}")

    def __call__(self, inputs: Tensor, samples: list[Any]) -> Tensor:
        """A scalar, of prepared images [n, 3, h, w] and mmdet's samples with their targets; it has a graph.

        The parts of the model are in eval mode meanwhile: nothing is dropped, and no statistics change.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        # mmdet's deformable DETR hands its head what the loss wants only where it is trained itself.
        self.model.training = True
        try:
            with _both(self.model, self.group) as critical:
                overall = _total(self.model.loss(inputs, samples))  # type: ignore[operator]
        finally:
            for module, training in modes:
                module.training = training
        return self.alpha * overall + _total(critical) if critical else self.alpha * overall


@contextmanager
def _both(model: nn.Module, group: Group | None) -> Iterator[dict[str, Any]]:
    """Fills the yielded dictionary with the losses of the critical objective when the model computes its own."""
    losses: dict[str, Any] = {}
    if group is None:
        yield losses
        return
    head: Any = model.bbox_head
    plain = head.loss_by_feat
    signature = inspect.signature(plain)

    def loss_by_feat(*args: Any, **kwargs: Any) -> dict[str, Any]:
        given = signature.bind(*args, **kwargs)
        own: dict[str, Any] = plain(*args, **kwargs)
        given.arguments[SCORES] = group.logits(given.arguments[SCORES])
        given.arguments[TARGETS] = [_relabelled(targets, group) for targets in given.arguments[TARGETS]]
        with _remapped(head, group):
            losses.update(plain(*given.args, **given.kwargs))
        return own

    head.loss_by_feat = loss_by_feat
    try:
        yield losses
    finally:
        del head.loss_by_feat


@contextmanager
def _remapped(head: Any, group: Group) -> Iterator[None]:
    """The head as one of m + 1 categories."""
    classes, background = len(group.critical) + 1, head.cls_out_channels - head.num_classes
    weights = getattr(head.loss_cls, "class_weight", None)
    before = (head.num_classes, head.cls_out_channels)
    head.num_classes, head.cls_out_channels = classes, classes + background
    if weights is not None:
        head.loss_cls.class_weight = group.class_weights(torch.as_tensor(weights))
    try:
        yield
    finally:
        head.num_classes, head.cls_out_channels = before
        if weights is not None:
            head.loss_cls.class_weight = weights


def _relabelled(targets: Any, group: Group) -> Any:
    """mmdet's instances of an image with the labels of the group."""
    new = targets.new()
    new.labels = group.labels(targets.labels)
    return new


def _total(losses: dict[str, Any]) -> Tensor:
    """The sum that mmengine trains on: of the entries whose names hold `loss`."""
    parts = [part for name, value in losses.items() if "loss" in name for part in _parts(value)]
    return torch.stack([part.mean() for part in parts]).sum()


def _parts(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)
