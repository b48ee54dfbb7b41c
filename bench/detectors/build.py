"""A detector of the catalogue, from mmdet's own configuration, scaled as the tier declares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.detectors.compat import load_mmdet, mend
from bench.detectors.families.dense import atss, retinanet
from bench.detectors.families.detrs import dab_detr, deformable_detr, detr
from bench.detectors.families.faster_rcnn import faster_rcnn
from bench.detectors.families.ssdlite import ssdlite
from bench.detectors.families.yolox import yolox
from bench.errors import BenchError
from bench.schema.catalog import CATALOG, Family
from bench.schema.check_detectors import misfits, untrainable
from bench.schema.detector import DetectorScale

FAMILIES: dict[Family, Callable[[Any, DetectorScale, int], None]] = {
    "retinanet": retinanet,
    "atss": atss,
    "ssdlite": ssdlite,
    "yolox": yolox,
    "faster_rcnn": faster_rcnn,
    "detr": detr,
    "deformable_detr": deformable_detr,
    "dab_detr": dab_detr,
}
"""Each changes mmdet's configuration of a model: everything that the scale declares, and the number of classes."""


def build_detector(name: str, scale: DetectorScale, classes: tuple[str, ...], seed: int) -> nn.Module:
    """Build and initialise a detector; its weights hang on `seed` alone.

    Returns mmdet's model in train mode, with nothing frozen and no checkpoint loaded.
    Raises BenchError where the scale does not fit the detector.
    """
    config = model_config(name, scale, len(classes))
    from mmdet.registry import MODELS

    torch.manual_seed(seed)
    model: Any = MODELS.build(config)
    model.init_weights()
    mend(model)
    model.dataset_meta = {"classes": classes}
    # Channels last is the faster layout on CPUs and GPUs alike.
    built: nn.Module = model.to(memory_format=torch.channels_last)
    return built


def refuse_training(scale: DetectorScale) -> None:
    """Raise BenchError where a detector of that scale cannot be trained."""
    reason = untrainable(scale)
    if reason is not None:
        raise BenchError(f"{scale.init.file}: {reason}")


def model_config(name: str, scale: DetectorScale, num_classes: int) -> Any:
    """mmdet's configuration of the model, changed as `scale` says.

    Raises BenchError where the scale does not fit the detector.
    """
    for fault in misfits(name, scale):
        raise BenchError(f"{name}: {'.'.join(map(str, fault.loc))}: {fault.message}")
    load_mmdet()
    import mmdet
    from mmengine.config import Config

    entry = CATALOG[name]
    folder = Path(mmdet.__file__).parent / ".mim" / "configs"
    model = Config.fromfile(folder / entry.config).model
    model.data_preprocessor.pad_size_divisor = scale.input.pad_divisor
    FAMILIES[entry.family](model, scale, num_classes)
    return model
