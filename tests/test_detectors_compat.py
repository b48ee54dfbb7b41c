"""mmdet without a compiled mmcv: what takes the place of its operators, and what happens where one is there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch, losses, small_scale
from torch import nn

from bench.detectors.build import build_detector
from bench.detectors.compat import _ExtStandIn, load_mmdet
from bench.quantization import kernels
from bench.schema.catalog import CATALOG

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]
CLASSES = ("a", "b", "c")


@pytest.fixture
def as_if_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every branch that asks whether a tensor lies on a GPU takes the GPU's way; the arithmetic stays on the CPU."""
    load_mmdet()
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: "cpu")
    assert torch.zeros(1).is_cuda and nn.Parameter(torch.zeros(1)).is_cuda


@pytest.mark.parametrize("name", CATALOG)
def test_no_detector_reaches_an_operator_that_the_stand_in_lacks(name: str, as_if_on_cuda: None) -> None:
    model: Any = build_detector(name, small_scale(name), CLASSES, 0)
    losses(model, drawn_batch(64)).backward()
    model.eval()
    with torch.no_grad():
        assert len(model.test_step(drawn_batch(64))[0].pred_instances) > 0


@pytest.mark.parametrize("name", ["retinanet-r18", "deformable-detr-r50"])
def test_the_way_of_the_gpu_gives_the_same_loss(name: str, request: pytest.FixtureRequest) -> None:
    def loss() -> float:
        torch.manual_seed(0)
        return float(losses(build_detector(name, small_scale(name), CLASSES, 0), drawn_batch(64)))

    plain = loss()
    request.getfixturevalue("as_if_on_cuda")
    assert loss() == plain


def test_without_the_pytorch_versions_the_gpu_would_miss_operators(
    as_if_on_cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above sees what it claims to see."""
    import importlib

    load_mmdet()
    focal: Any = importlib.import_module("mmdet.models.losses.focal_loss")
    attention: Any = importlib.import_module("mmcv.ops.multi_scale_deform_attn")
    monkeypatch.setattr(attention, "IS_CUDA_AVAILABLE", True)
    with pytest.raises(RuntimeError, match="operator 'ms_deform_attn_forward' is needed"):
        losses(build_detector("deformable-detr-r50", small_scale("deformable-detr-r50"), CLASSES, 0), drawn_batch(64))
    monkeypatch.setattr(focal, "sigmoid_focal_loss", lambda p, t, *a, **k: focal._sigmoid_focal_loss(p, t, 2.0, 0.25))
    with kernels.using("eager"), pytest.raises(RuntimeError, match="operator 'sigmoid_focal_loss_forward' is needed"):
        losses(build_detector("retinanet-r18", small_scale("retinanet-r18"), CLASSES, 0), drawn_batch(64))


def test_the_stand_in_has_a_spec_and_names_what_it_lacks() -> None:
    stand_in = _ExtStandIn()
    assert stand_in.__spec__ is not None and stand_in.__spec__.name == "mmcv._ext"
    with pytest.raises(RuntimeError, match="'softnms' is needed here; install a full mmcv"):
        stand_in.softnms(torch.zeros(1, 4))
    with pytest.raises(AttributeError):
        _ = stand_in.__wrapped__
    with pytest.raises(RuntimeError, match="pixel offset 1"):
        stand_in.nms(torch.zeros(1, 4), torch.zeros(1), 0.5, 1)


def test_nms_of_the_stand_in_keeps_the_best_of_what_overlaps() -> None:
    load_mmdet()
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 5]])
    scores = torch.tensor([0.5, 0.9, 0.1, 0.7])
    kept, indices = nms(boxes, scores, 0.6)
    assert indices.tolist() == [1, 3, 2]
    assert torch.equal(kept, torch.cat([boxes, scores[:, None]], 1)[indices])


FAKE = """
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: None
"""

USE = """
import sys
import mmcv
mmcv.__path__.append(sys.argv[1])
from bench.detectors.compat import load_mmdet
load_mmdet()
import mmcv._ext, mmcv.ops
import importlib
print(mmcv._ext.__file__)
print(importlib.import_module("mmdet.models.losses.focal_loss").sigmoid_focal_loss.__module__)
print(sys.modules["mmcv.ops.nms"].ext_module is mmcv._ext)
"""


def test_a_compiled_mmcv_is_used_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "_ext.py").write_text(FAKE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)], capture_output=True, text=True, cwd=PROJECT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "_ext.py"), "mmdet.models.losses.focal_loss", "True"]


def test_regions_are_read_by_torchvision() -> None:
    """As mmcv's operator does it: aligned, and with as many samples as a bin has pixels."""
    model: Any = build_detector("faster-rcnn-r50", small_scale("faster-rcnn-r50"), CLASSES, 0)
    layers = list(model.roi_head.bbox_roi_extractor.roi_layers)
    assert [layer.spatial_scale for layer in layers] == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    assert all(layer.use_torchvision and layer.aligned and layer.sampling_ratio == 0 for layer in layers)
    # A bin of 2x2 pixels in a ramp has the mean of its pixels' centres.
    ramp = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    layer = type(layers[0])(output_size=2, spatial_scale=1.0, sampling_ratio=0, use_torchvision=True)
    read = layer(ramp, torch.tensor([[0.0, 4.0, 4.0, 8.0, 8.0]]))
    assert torch.allclose(read, torch.tensor([[[[4.5, 6.5], [4.5, 6.5]]]]))
