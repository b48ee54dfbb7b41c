"""ONNX files of a few nodes, with random weights, for tests of detectors that are read from them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

SIDE, STRIDE, CLASSES, BINS = 64, 16, 3, 4
CELLS = (SIDE // STRIDE) ** 2


def tiny_file(path: Path, decoding: str = "yolox", batched: bool = True, operation: str = "Relu") -> str:
    """Write a detector of one level and two convolutions; returns the sha256 of its file.

    Its Reshape keeps the batch, or holds one of a single image. The second node is `operation`.
    """
    numbers = {"yolox": 5 + CLASSES, "gfl": CLASSES + 4 * BINS}[decoding]
    generator = np.random.default_rng(0)
    weights = {
        "w0": generator.normal(size=(8, 3, STRIDE, STRIDE), scale=0.002),
        "b0": generator.normal(size=8),
        "w1": generator.normal(size=(numbers, 8, 1, 1)),
        "b1": generator.normal(size=numbers),
    }
    inner = "sigmoid" if decoding == "yolox" else "rows"
    nodes = [
        helper.make_node("Conv", ["images", "w0", "b0"], ["a"], "/backbone/Conv", strides=[STRIDE, STRIDE]),
        helper.make_node(operation, ["a"], ["b"], "/backbone/Act"),
        helper.make_node("Conv", ["b", "w1", "b1"], ["c"], "/head/Conv"),
        helper.make_node("Reshape", ["c", "shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], [inner], perm=[0, 2, 1]),
    ]
    if decoding == "yolox":
        nodes += [
            helper.make_node("Split", ["sigmoid", "parts"], ["box", "logits"], axis=2),
            helper.make_node("Sigmoid", ["logits"], ["scores"]),
            helper.make_node("Concat", ["box", "scores"], ["rows"], axis=2),
        ]
    shape = [0 if batched else 1, numbers, -1]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants += [
        numpy_helper.from_array(np.array(shape), "shape"),
        numpy_helper.from_array(np.array([4, numbers - 4]), "parts"),
    ]
    batch: Any = "n" if batched else 1
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [batch, CELLS, numbers])],
        constants,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tiny_scale(path: Path, sha256: str, decoding: str = "yolox", **changes: Any) -> dict[str, Any]:
    """What a tier declares of such a detector, as JSON."""
    onnx = {
        "decoding": decoding,
        "strides": [STRIDE],
        **({"bins": BINS} if decoding == "gfl" else {}),
        "channels": "rgb",
        "mean": [10.0, 20.0, 30.0],
        "std": [1.0, 2.0, 4.0],
        "pad_value": 114.0,
    }
    return {
        "input": {"size": [SIDE, SIDE]},
        "test": {"batch": 2, "score_threshold": 0.05, "nms_iou": 0.6},
        "init": {"kind": "onnx", "path": str(path), "sha256": sha256},
        "onnx": {**onnx, **changes},
    }
