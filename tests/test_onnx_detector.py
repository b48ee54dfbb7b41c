"""A detector that is an ONNX file: its graph computes what ONNX Runtime computes, and wrong files get one line."""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROJECT, bench
from suite_text import write_suite
from tiny_onnx import BINS, CELLS, CLASSES, SIDE, STRIDE, tiny_file, tiny_scale
from torch import Tensor

from bench.data.load import load
from bench.detectors.build import build_detector
from bench.detectors.compat import load_mmdet
from bench.detectors.decoding import make_decoding
from bench.detectors.onnx_graph import outputs_of
from bench.detectors.predict import predict
from bench.errors import BenchError, UsageError
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.quantization.placement import place, quantizable
from bench.quantization.trace import record_reads
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.detector import DetectorScale, Input
from bench.schema.load import load_suite
from bench.schema.placement import Policy

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx2torch")

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]
NAMES = tuple("abcdefgh"[:CLASSES])


def scale_of(declared: dict[str, Any]) -> DetectorScale:
    return DetectorScale.model_validate_json(json.dumps(declared))


def build(declared: dict[str, Any], names: tuple[str, ...] = NAMES) -> Any:
    return build_detector("onnx/tiny", scale_of(declared), names, 0).eval()


def session(path: Path) -> Any:
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("decoding", ["yolox", "gfl"])
def test_the_graph_computes_what_onnx_runtime_does(tmp_path: Path, decoding: str) -> None:
    path = tmp_path / "tiny.onnx"
    model = build(tiny_scale(path, tiny_file(path, decoding), decoding))
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    (theirs,) = session(path).run(None, {"images": images})
    with torch.inference_mode():
        (ours,) = model(torch.from_numpy(images), mode="tensor")
    assert theirs.shape[1] == CELLS and np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4, rtol=1e-5)


def naive_boxes(row: Tensor, decoding: str) -> list[list[float]]:
    """Written anew, cell by cell."""
    boxes = []
    for k, numbers in enumerate(row.tolist()):
        y, x = divmod(k, SIDE // STRIDE)
        if decoding == "yolox":
            cx, cy = (numbers[0] + x) * STRIDE, (numbers[1] + y) * STRIDE
            w, h = (float(np.exp(n)) * STRIDE for n in numbers[2:4])
            boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        else:
            weights = np.exp(np.array(numbers[CLASSES:]).reshape(4, BINS))
            left, top, right, bottom = STRIDE * (weights * range(BINS)).sum(1) / weights.sum(1)
            boxes.append([x * STRIDE - left, y * STRIDE - top, x * STRIDE + right, y * STRIDE + bottom])
    return boxes


@pytest.mark.parametrize("decoding", ["yolox", "gfl"])
def test_locations_are_decoded_and_have_gradients(tmp_path: Path, decoding: str) -> None:
    declared = scale_of(tiny_scale(Path("x"), "0" * 64, decoding)).onnx
    assert declared is not None
    numbers = 5 + CLASSES if decoding == "yolox" else CLASSES + 4 * BINS
    rows = torch.rand(2, CELLS, numbers, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = make_decoding(declared, (SIDE, SIDE), CLASSES)((rows,))
    for image in range(2):
        torch.testing.assert_close(
            found.boxes[image], torch.tensor(naive_boxes(rows[image], decoding), dtype=torch.float32)
        )
    expected = rows[..., 4:5] * rows[..., 5:] if decoding == "yolox" else rows[..., :CLASSES]
    torch.testing.assert_close(found.scores, expected)
    (found.scores.sum() + found.boxes.sum()).backward()
    assert rows.grad is not None and (rows.grad != 0).any(-1).all()


def test_the_input_is_prepared_as_declared(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    model = build(tiny_scale(path, tiny_file(path)))
    batch = empty_batch(40, 20)
    batch["inputs"][0][0] = 50  # blue
    prepared = model.data_preprocessor(batch)["inputs"][0]
    assert prepared.shape == (3, SIDE, SIDE)
    # RGB: red comes first; mean 10, 20, 30, std 1, 2, 4.
    assert prepared[:, 0, 0].tolist() == [-10.0, -10.0, 5.0]
    assert prepared[:, 20, 0].tolist() == prepared[:, 0, 40].tolist() == [104.0, 47.0, 21.0]


@pytest.mark.parametrize("sampling", ["exact", "corner"])
def test_images_are_resized_with_their_boxes(sampling: str) -> None:
    load_mmdet()
    from bench.detectors.resize import Sampled

    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (60, 1, 3))
    for ratio, size in ((True, (50, 30)), (False, (50, 40))):
        given = Input.model_validate_json(json.dumps({"size": [50, 40], "keep_ratio": ratio, "sampling": sampling}))
        boxes = np.array([[10, 12, 40, 60]], dtype=np.float32)
        found = Sampled(given)({"img": ramp, "gt_bboxes": boxes, "img_shape": ramp.shape[:2]})
        assert found["gt_bboxes"].tolist() == [[5, 12 * size[1] / 60, 20, size[1]]]
        assert found["img"].shape == (size[1], size[0], 3) and found["scale_factor"] == (0.5, size[1] / 60)
        # Halved: `exact` keeps the middle of the image in place, `corner` its first pixel.
        assert found["img"][0, :3, 0].tolist() == ([1, 5, 9] if sampling == "exact" else [0, 4, 8])


def test_a_file_of_one_image_refuses_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    model = build(tiny_scale(path, tiny_file(path, batched=False)))
    images = torch.zeros(2, 3, SIDE, SIDE)
    assert not model.takes_batches and model(images[:1], mode="tensor")[0].shape[1] == CELLS
    # What it would compute is one long image.
    assert outputs_of(model.graph, images)[0].shape == (1, 2 * CELLS, 5 + CLASSES)
    with pytest.raises(BenchError, match=r"tiny.onnx: two images in one batch .*; set `batch: 1` in `test`"):
        model(images, mode="tensor")
    assert build(tiny_scale(path, tiny_file(path))).takes_batches


def test_its_convolutions_are_placed_and_parts_may_be_patterns(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    model = build(tiny_scale(path, tiny_file(path)))
    batch = model.data_preprocessor(empty_batch(SIDE, SIDE))
    for parts in (["graph"], ["graph.backbone_*", "graph.head_*"]):
        policy = Policy.model_validate_json(
            json.dumps(
                {
                    "layers": ["conv"],
                    "first": ["graph.backbone_Conv"],
                    "last": ["graph.head_Conv"],
                    "parts": parts,
                    "unsigned_after": ["relu"],
                }
            )
        )
        recorded = record_reads(model, quantizable(model, policy), lambda: model(batch["inputs"], mode="tensor"))
        placement = place(model, recorded, policy, Bits.parse("8/8"))
        assert [site.module for site in placement.weights] == ["graph.backbone_Conv", "graph.head_Conv"]
        assert [(site.producer, site.signed) for site in placement.activations] == [("input", True), ("relu", False)]


def refused(path: Path, declared: dict[str, Any], names: tuple[str, ...] = NAMES) -> str:
    with pytest.raises(BenchError) as caught:
        build(declared, names)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(path))
    return text


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_wrong_files_get_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    assert "there is no such ONNX file" in refused(path, tiny_scale(path, "0" * 64))
    sha = write(path, b"no graph")
    text = refused(path, tiny_scale(path, "0" * 64))
    assert "instead of 0000" in text and text.endswith(f"or if it is the right one write {sha}")
    assert "not an ONNX graph" in refused(path, tiny_scale(path, sha))
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    sha = write(path, empty.SerializeToString())
    assert "a graph with one input" in refused(path, tiny_scale(path, sha))
    sha = tiny_file(path, operation="Det")
    assert "onnx2torch cannot convert operation Det of opset 11" in refused(path, tiny_scale(path, sha))


def test_what_was_declared_must_fit_the_outputs(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    sha = tiny_file(path)
    text = refused(path, tiny_scale(path, sha), (*NAMES, "d"))
    assert f"its outputs are [1, {CELLS}, 8]" in text and "the file knows 3 classes, the data have 4" in text
    text = refused(path, tiny_scale(path, sha, strides=[8]))
    assert f"want one [n, {4 * CELLS}, 8]" in text and "the file knows" not in text
    smaller = tiny_scale(path, sha)
    smaller["input"]["size"] = [48, 48]
    assert "want one [n, 9, 8]" not in refused(path, smaller, (*NAMES, "d"))


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.onnx"
    declared = tiny_scale(path, tiny_file(path))
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    assert "qdet-bench[onnx]" in refused(path, declared)


def test_weights_in_other_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.onnx"
    tiny_file(path)
    model = onnx.load(path)
    write(tmp_path / "secret", bytes(10**5))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret")
    monkeypatch.chdir(tmp_path)
    sha = write(path, model.SerializeToString())
    assert "weights in other files" in refused(path, tiny_scale(path, sha))


SUITE = """\
title: A table
policies:
  all: {layers: [conv], first: [graph.backbone_Conv], last: [graph.head_Conv], parts: [graph]}
methods:
  minmax: {name: uniform, weights: {kind: minmax}, activations: {kind: minmax}}
rows:
  - {id: fp, label: FP, detector: onnx/tiny, bits: 32/32}
  - {id: w8a8, label: MinMax, detector: onnx/tiny, bits: 8/8, policy: all, methods: [minmax]}
tiers:
  smoke:
    data: {kind: shapes-coco, side: 64, images: {train: 4, test: 2}}
    metric: {variant: coco}
    calibration: {images: 4, batch: 2}
    detectors:
      onnx/tiny:
        input: {size: [64, 64]}
        test: {batch: 2, score_threshold: 0.05, nms_iou: 0.6}
        init: {kind: onnx, path: "${TINY:-tiny.onnx}", sha256: "HASH"}
        onnx: {decoding: "my_decoding:decode", channels: bgr, mean: [0, 0, 0], std: [1, 1, 1], pad_value: 0}
"""
DECODING = """\
import torch


def decode(outputs, size):
    rows = outputs[0]
    scores = rows[..., 5:6].expand(-1, -1, 80) * torch.linspace(0, 1, 80)
    return scores, torch.cat([rows[..., :2].sigmoid() * 20, 30 + rows[..., 2:4].sigmoid() * 20], -1)
"""
RECIPE = """\
    recipes:
      qat: {unit: step, length: 4, batch: 2, decay: {kind: constant}, optimizer: {kind: sgd, lr: 0.1, weight_decay: 0}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sha = tiny_file(tmp_path / "tiny.onnx")
    write_suite(tmp_path, SUITE.replace("HASH", sha))
    (tmp_path / "my_decoding.py").write_text(DECODING, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_it_is_planned_run_and_shown_like_any_other(root: Path) -> None:
    assert "2 jobs: 2 executed" in bench(root, "run", "x/y", "--tier", "smoke").stdout
    shown = bench(root, "show", "x/y", "--tier", "smoke", "--quantizers").stdout
    assert "graph.backbone_Conv.weight" in shown and "graph.head_Conv.input" in shown
    assert "| MinMax" in bench(root, "table", "x/y", "--tier", "smoke").stdout
    # Where the file lies is no part of the identity.
    (root / "tiny.onnx").rename(root / "moved.onnx")
    suite = root / "suites" / "x" / "y.yaml"
    suite.write_text(suite.read_text(encoding="utf-8").replace("TINY:-tiny", "TINY:-moved"), encoding="utf-8")
    plan = json.loads(bench(root, "plan", "x/y", "--tier", "smoke", "--json").stdout)
    assert {job["state"] for job in plan["jobs"]} == {"done"}
    suite.write_text(suite.read_text(encoding="utf-8").replace("TINY:-moved", "TINY:-lost"), encoding="utf-8")
    assert "there is no such ONNX file" in bench(root, "plan", "x/y", "--tier", "smoke", "--json").stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("policy: all,", "policy: all, recipe: qat,", "a graph from an ONNX file has no training losses"),
        ("my_decoding:decode", "my_decoding:other", "my_decoding.py has no function other"),
        ("my_decoding:decode", "yolox", "decoding yolox needs `strides`"),
        ("my_decoding:decode", "detr", "decoding"),
        (", pad_value: 0", "", "`keep_ratio: true` needs `pad_value`"),
        ("        onnx:", "        # onnx:", "onnx/tiny needs `onnx`"),
        ("onnx/tiny", "onnx/Tiny", "write onnx/NAME in lower case"),
        ("path:", "file: a.onnx, path:", "`path` takes the place of `file`"),
        ("nms_iou: 0.6", "max_per_image: 9", "onnx/tiny needs `nms_iou`"),
        ("kind: onnx, path", "kind: checkpoint, path", "`path` takes the place of `file` where the kind is onnx"),
    ],
)
def test_a_wrong_suite_names_its_line(old: str, new: str, words: str, root: Path) -> None:
    suite = root / "suites" / "x" / "y.yaml"
    changed = suite.read_text(encoding="utf-8").replace(old, new)
    suite.write_text(changed + (RECIPE if "recipe" in new else ""), encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        load_suite("x/y", root)
    assert re.search(r"y\.yaml:\d+: ", str(caught.value))


FP = {"onnx/yolox-nano": 31.9, "onnx/nanodet-plus-m": 38.5}


@pytest.mark.long
@pytest.mark.parametrize("name", FP)
def test_published_files_have_their_known_ap(shared: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of onnxruntime with the authors' own preparation, measured outside of this project."""
    monkeypatch.setenv("QDET_SHARED", str(shared))
    tier = load_suite("detptq/coco_real", PROJECT).suite.tiers["mini"]
    data = load(tier.data, "test", PROJECT, PROJECT)
    model = build_detector(name, tier.detectors[name], data.classes, 0, PROJECT)
    found = Predictions.from_coco(predict(model, data, tier.detectors[name].input, 1))
    scores = metric_of(tier.metric).score(data.coco, found.detections())
    assert abs(100 * scores.metrics["AP"] - FP[name]) < 0.05
