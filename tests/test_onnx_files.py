"""ONNX files that are no export of the detector, and the training that a folded one is refused."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
from detector_scales import SMALL, make_scale
from suite_text import write_suite

from bench.data.weights import VARIABLE
from bench.detectors.build import build_detector, refuse_training
from bench.detectors.initial import initialise
from bench.errors import BenchError, UsageError
from bench.schema.load import load_suite

onnx = pytest.importorskip("onnx")

INIT = {"kind": "onnx", "file": "yolox_nano.onnx", "sha256": "0" * 64}


def write(path: Path, model: Any) -> dict[str, str]:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    path.write_bytes(data)
    return {"kind": "onnx", "file": path.name, "sha256": hashlib.sha256(data).hexdigest()}


def refused(init: dict[str, str], path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, str(path.parent))
    scale = make_scale("yolox-nano", 64, **SMALL["yolox-nano"], init=init)
    with pytest.raises(BenchError) as caught:
        initialise(build_detector("yolox-nano", scale, ("a",), 0), scale.init, path.parent)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(path))
    return text


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.onnx"
    wrong = {"kind": "onnx", "file": "x.onnx", "sha256": "0" * 64}
    assert "the checkpoint is absent" in refused(wrong, path, monkeypatch)
    init = write(path, b"no graph")
    assert "instead of 0000" in refused(wrong, path, monkeypatch)
    assert "not an ONNX graph" in refused(init, path, monkeypatch)
    assert "0 convolutions instead of" in refused(write(path, b""), path, monkeypatch)
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [])
    assert "convolutions with biases" in refused(write(path, onnx.helper.make_model(graph)), path, monkeypatch)


def test_what_lies_in_other_files_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph may name any file of the machine as the place of its tensors."""
    (tmp_path / "secret").write_bytes(bytes(16))
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2, 2, 1, 1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    bias = onnx.helper.make_tensor("b", onnx.TensorProto.FLOAT, [2], [0.0, 0.0])
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [], [tensor, bias])
    path = tmp_path / "x.onnx"
    assert "not an ONNX graph" in refused(write(path, onnx.helper.make_model(graph)), path, monkeypatch)


def test_training_is_refused_with_its_reason() -> None:
    folded = make_scale("yolox-nano", 416, init=INIT)
    assert folded.init.folded
    with pytest.raises(BenchError, match=r"yolox_nano.onnx: BatchNorm is folded .* quantized, not trained"):
        refuse_training(folded)
    refuse_training(make_scale("yolox-nano", 416))


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    path = tmp_path / "x.onnx"
    assert "qdet-bench[onnx]" in refused(write(path, b""), path, monkeypatch)


SUITE = """\
title: A table
rows:
  - {id: fp, label: FP, detector: yolox-nano, bits: 32/32}
tiers:
  paper:
    data: {kind: shapes-coco, side: 416, images: {train: 16, test: 8}}
    metric: {variant: coco}
    detectors:
      yolox-nano:
        input: {size: [416, 416], pad_divisor: 416}
        test: {batch: 8, score_threshold: 0.01, nms_iou: 0.65}
        init: {kind: onnx, file: yolox_nano.onnx, sha256: "HASH"}
""".replace("HASH", "0" * 64)
RECIPE = """\
    recipes:
      fp:
        {unit: step, length: 4, batch: 4, decay: {kind: cosine}, optimizer: {kind: adamw, lr: 0.001, weight_decay: 0.0}}
"""


def test_a_suite_may_evaluate_it_but_not_train_it(tmp_path: Path) -> None:
    write_suite(tmp_path, SUITE)
    assert load_suite("x/y", tmp_path).suite.tiers["paper"].detectors["yolox-nano"].init.folded
    write_suite(tmp_path, SUITE.replace("32/32}", "32/32, recipe: fp}") + RECIPE)
    with pytest.raises(UsageError, match=r"y.yaml:12: row 'fp' has a recipe, but BatchNorm is folded"):
        load_suite("x/y", tmp_path)
