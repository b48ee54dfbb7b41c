"""The losses of single positive samples, as methods see and change them.

mmdet's own loss code runs as it is; what methods change of a sample's losses is one more term beside the head's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from bench.errors import BenchError


@dataclass(frozen=True)
class Positives:
    """The P positive samples of a batch, over all levels and images."""

    cls: Tensor
    """[P] Classification loss of each, summed over the classes, as the head weighs it but not yet normalised."""
    reg: Tensor
    """[P] Box loss of each, likewise; ATSS weighs it by the centerness."""
    scores: Tensor
    """[P, C] Score of each class: sigmoid, without YOLOX's objectness; SSD: softmax, [P, C + 1] with the background."""
    labels: Tensor
    """[P] True class."""
    u: Tensor
    """[P] IoU of the decoded box with its target."""
    cls_normaliser: Tensor | float
    """What the head divides the sum of its classification losses by."""
    reg_normaliser: Tensor | float
    """The same of the box losses: ATSS's is the sum of the centerness, every other head's counts positive samples."""
    count: Tensor
    """P, the mean over processes (their gradients are averaged), at least 1."""

    @property
    def p(self) -> Tensor:
        """[P] Score of the true class."""
        return self.scores.gather(1, self.labels[:, None]).squeeze(1)


Reshape = Callable[[Positives], tuple[Tensor, Tensor]]
"""From positive samples to the classification and box losses, [P] each, that they have instead."""


@contextmanager
def reshaped(model: nn.Module, reshapes: Sequence[Reshape]) -> Iterator[None]:
    """Change the training losses of `model`, one function after the other, until the block ends.

    The change is the entry `loss_reshaped` of the model's losses; functions that change nothing leave none.
    Raises BenchError for a detector without a dense head known here.
    """
    if not reshapes:
        yield
        return
    from bench.detectors.heads import HEADS

    head: Any = getattr(model, "bbox_head", None)
    kind = type(head).__name__
    if kind not in HEADS:
        raise BenchError(f"no losses of single samples: the head is no {', '.join(HEADS)} but {kind}")
    watch, plain = HEADS[kind], head.loss_by_feat

    def loss_by_feat(*args: Any, **kwargs: Any) -> dict[str, Any]:
        with watch.record(head) as calls:
            losses: dict[str, Any] = plain(*args, **kwargs)
        positives = watch.positives(head, calls)
        change = _change(positives, reshapes) if positives is not None else None
        return losses if change is None else {**losses, "loss_reshaped": change}

    head.loss_by_feat = loss_by_feat
    try:
        yield
    finally:
        del head.loss_by_feat


def _change(before: Positives, reshapes: Sequence[Reshape]) -> Tensor | None:
    after = before
    for reshape in reshapes:
        cls, reg = reshape(after)
        after = replace(after, cls=cls, reg=reg)
    # Nothing at all where nothing changed: even a sum of zeros could reorder the sums of a backward pass.
    parts = [
        (new - old).sum() / normaliser
        for old, new, normaliser in (
            (before.cls, after.cls, before.cls_normaliser),
            (before.reg, after.reg, before.reg_normaliser),
        )
        if new is not old
    ]
    return sum(parts[1:], parts[0]) if parts else None
