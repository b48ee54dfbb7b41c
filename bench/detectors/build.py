"""A detector of the catalogue, from mmdet's own configuration, scaled as the tier declares."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.detectors.checkpoint import verified_weights
from bench.detectors.compat import load_mmdet, mend
from bench.errors import BenchError
from bench.schema.catalog import detector_facts
from bench.schema.check_detectors import misfits, untrainable
from bench.schema.detector import DetectorScale, OnnxScale


def build_detector(
    name: str, scale: DetectorScale, classes: tuple[str, ...], seed: int, root: Path = Path()
) -> nn.Module:
    """Build and initialise a detector; its weights hang on `seed` alone, those of an ONNX file on the file.

    Returns mmdet's model in train mode, with nothing frozen and no checkpoint loaded. Relative paths start at `root`.
    Raises BenchError where the scale does not fit the detector.
    """
    if scale.onnx is not None:
        return _graph_detector(name, scale, scale.onnx, classes, root)
    config = model_config(name, scale, len(classes))
    from mmdet.registry import MODELS

    from bench.detectors.lean.exchange import exchange

    torch.manual_seed(seed)
    model: Any = MODELS.build(config)
    model.init_weights()
    mend(model)
    exchange(model)
    model.dataset_meta = {"classes": classes}
    # Channels last is the faster layout on CPUs and GPUs alike.
    built: nn.Module = model.to(memory_format=torch.channels_last)
    return built


def _graph_detector(
    name: str, scale: DetectorScale, onnx: OnnxScale, classes: tuple[str, ...], root: Path
) -> nn.Module:
    _refuse_misfits(name, scale)
    load_mmdet()
    from bench.detectors.onnx_detector import OnnxDetector

    model: nn.Module = OnnxDetector(verified_weights(scale.init, root), scale, onnx, len(classes))
    return model


def refuse_training(scale: DetectorScale) -> None:
    """Raise BenchError where a detector of that scale cannot be trained."""
    reason = untrainable(scale)
    if reason is not None:
        raise BenchError(f"{scale.init.path or scale.init.file}: {reason}")


def model_config(name: str, scale: DetectorScale, num_classes: int) -> Any:
    """mmdet's configuration of the model, changed as `scale` says.

    Raises BenchError where the scale does not fit the detector.
    """
    _refuse_misfits(name, scale)
    load_mmdet()
    from mmengine.config import Config

    facts = detector_facts(name)
    module, _, cls = facts.family.target.partition(":")
    family: Any = getattr(importlib.import_module(module), cls)
    model = Config.fromfile(_config_file(facts.config, family)).model
    model.data_preprocessor.pad_size_divisor = scale.input.pad_divisor
    family().configure(model, scale, num_classes)
    return model


def _refuse_misfits(name: str, scale: DetectorScale) -> None:
    for fault in misfits(name, scale):
        raise BenchError(f"{name}: {'.'.join(map(str, fault.loc))}: {fault.message}")


def _config_file(declared: str | None, family: Any) -> Path:
    """mmdet's own file, or one beside the user's class."""
    import mmdet

    if declared is None:
        beside: Path = Path(inspect.getfile(family)).parent / family.config
        if beside.is_file():
            return beside
    path: Path = Path(mmdet.__file__).parent / ".mim" / "configs" / (declared or family.config)
    if not path.is_file():
        named = declared or family.config
        raise BenchError(f"{family.__name__}: mmdet has no configuration {named!r}, nor is there such a file")
    return path
