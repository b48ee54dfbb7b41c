"""Makes mmdet importable without a compiled mmcv, and quiet. The one module that is imported for its side effects."""

import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from typing import Any

import torch
import torchvision.ops
from torch import nn
from torch.nn.functional import one_hot

from bench.imports import uncollected


class _ExtStandIn(types.ModuleType):
    """Takes the place of `mmcv._ext`, with the one operator that the project's detectors reach."""

    def __init__(self) -> None:
        super().__init__("mmcv._ext")
        # mmengine's Runner looks the module up by pkgutil.find_loader, which fails on a spec of None.
        self.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_: Any, **__: Any) -> None:
            raise RuntimeError(
                f"mmcv's compiled operator {name!r} is needed here; install a full mmcv in place of mmcv-lite"
            )

        return absent

    def nms(self, boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int) -> torch.Tensor:
        """Indices kept by NMS of `boxes` [n, 4] (x1, y1, x2, y2) in descending order of score."""
        if offset != 0:
            raise RuntimeError(f"NMS with pixel offset {offset} is not offered by torchvision")
        kept: torch.Tensor = torchvision.ops.nms(boxes, scores, iou_threshold)
        return kept


@functools.cache
@uncollected()
def load_mmdet() -> None:
    """Import mmdet and register its modules; a compiled mmcv is used where one is installed."""
    compiled = importlib.util.find_spec("mmcv._ext") is not None
    if not compiled:
        sys.modules["mmcv._ext"] = _ExtStandIn()
    warnings.filterwarnings("ignore", module=r"(mmdet|mmengine|mmcv)\b.*")
    from mmdet.utils import register_all_modules
    from mmengine.logging import MMLogger

    MMLogger.get_instance("mmengine", log_level="ERROR")

    register_all_modules(init_default_scope=True)
    torchvision.ops.roi_align = _roi_align  # mmcv looks it up at each call
    if not compiled:
        _use_pytorch_operators()


def mend(model: nn.Module) -> None:
    """Give a built model what mmdet 3.3.0 forgot, and take from it what it never reads."""
    head: Any = getattr(model, "bbox_head", None)
    backbone: Any = model.get_submodule("backbone")
    # SSDHead has no module of its loss, but the prediction that it inherits asks the module for its activation.
    if type(head).__name__ == "SSDHead" and not hasattr(head, "loss_cls"):
        head.loss_cls = None
    if type(backbone).__name__ == "MobileNetV2":
        # It runs all stages; those behind the last one that the neck reads have no gradient, which DDP refuses.
        read = max(backbone.out_indices) + 1
        for unread in backbone.layers[read:]:
            delattr(backbone, unread)
        del backbone.layers[read:]


def _roi_align(
    x: torch.Tensor,
    boxes: torch.Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """torchvision's operator [n, c, h, w], [k, 5] -> [k, c, *output_size].

    Where deterministic ones are asked for on a GPU, torchvision takes a form in Python that needs 50 GiB for 4 images.
    """
    pooled: torch.Tensor = torch.ops.torchvision.roi_align(
        x, boxes, spatial_scale, *output_size, sampling_ratio, aligned
    )
    return pooled


def _use_pytorch_operators() -> None:
    """On CUDA mmdet and mmcv would call compiled operators of which they carry PyTorch versions: take those."""
    # The modules are hidden by functions and classes of the same names in their packages.
    focal: Any = importlib.import_module("mmdet.models.losses.focal_loss")
    attention: Any = importlib.import_module("mmcv.ops.multi_scale_deform_attn")

    def sigmoid_focal_loss(pred: torch.Tensor, target: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`pred` [n, classes], `target` [n] with `classes` for background."""
        classes = pred.size(1)
        hot = one_hot(target, num_classes=classes + 1)[:, :classes]
        loss: torch.Tensor = focal.py_sigmoid_focal_loss(pred, hot, *args, **kwargs)
        return loss

    focal.sigmoid_focal_loss = sigmoid_focal_loss
    attention.IS_CUDA_AVAILABLE = False
