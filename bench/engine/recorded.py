"""On a GPU the passes of backbone, neck and head are recorded once, as a CUDA graph, and replayed at each step.

A step of a small detector is a thousand kernels of a few microseconds, each of which Python takes ten times as long to
start; a graph starts them all at once. The kernels are the same, and so is what they compute.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.processes import world

HEADS = ("RetinaHead", "ATSSHead", "SSDHead")
"""mmdet's heads whose loss takes the maps of all levels, and for which `pytest -m gpu tests/test_gpu.py` has shown that
recorded passes compute the same. YOLOX's would be one more; its test has not passed on a GPU yet."""


@contextmanager
def recorded(model: nn.Module, repeats: bool) -> Iterator[None]:
    """Train `model` from the recorded passes until the block ends, where that can be done.

    It is done on a GPU, in one process, for HEADS, and where the model `repeats`: does at each step what it did at the
    first. The first batch is recorded; images of another shape run as ever.
    """
    head: Any = getattr(model, "bbox_head", None)
    if not (repeats and _can_record(model) and type(head).__name__ in HEADS):
        yield
        return
    from mmdet.models.utils import unpack_gt_instances

    patched: Any = model
    plain, passes = patched.loss, dict[torch.Size, Any]()

    def loss(batch_inputs: Tensor, batch_data_samples: list[Any]) -> Any:
        if not passes:
            passes[batch_inputs.shape] = _record(model, batch_inputs)
        maps = passes.get(batch_inputs.shape)
        if maps is None:
            return plain(batch_inputs, batch_data_samples)
        # As mmdet's dense heads have it behind their maps.
        truth, ignored, facts = unpack_gt_instances(batch_data_samples)
        return head.loss_by_feat(*maps(batch_inputs), truth, facts, ignored)

    patched.loss = loss
    try:
        yield
    finally:
        del patched.loss


def _can_record(model: nn.Module) -> bool:
    return next(model.parameters()).is_cuda and world().size == 1


class _Maps(nn.Module):
    """The maps of prepared images; it has no hooks of its own, as torch asks of what it records."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        """[n, 3, h, w] -> what the head's forward returns."""
        return self.model(images, None, mode="tensor")


def _record(model: nn.Module, images: Tensor) -> Any:
    """The recorded passes; the model is as it was before, though torch runs it a few times first."""
    state = [*model.buffers(), *model.parameters()]
    before = [value.detach().clone() for value in state]
    maps = torch.cuda.make_graphed_callables(_Maps(model), (images.clone(),), allow_unused_input=True)
    with torch.no_grad():
        for value, kept in zip(state, before, strict=True):
            value.copy_(kept)
    return maps
