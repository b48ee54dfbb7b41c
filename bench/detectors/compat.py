"""Makes mmdet importable without a compiled mmcv, and quiet. The one module that is imported for its side effects."""

import functools
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from typing import Any

import torch
import torchvision.ops


class _ExtStandIn(types.ModuleType):
    """Takes the place of `mmcv._ext`, with the two operators that the project's detectors reach."""

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
def load_mmdet() -> None:
    """Import mmdet and register its modules; a compiled mmcv is used where one is installed."""
    if importlib.util.find_spec("mmcv._ext") is None:
        sys.modules["mmcv._ext"] = _ExtStandIn()
    warnings.filterwarnings("ignore", module=r"(mmdet|mmengine|mmcv)\b.*")
    from mmdet.utils import register_all_modules
    from mmengine.logging import MMLogger

    MMLogger.get_instance("mmengine", log_level="ERROR")

    register_all_modules(init_default_scope=True)
