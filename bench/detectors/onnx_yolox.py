"""YOLOX-Nano or -Tiny of the original project, exported to ONNX with BatchNorm folded, into mmdet's model of it.

The export has lost the names of all folded convolutions, but it lists them in the order in which the original runs
them. mmdet runs some in another order, and these have the same shape, so order alone would swap them unseen.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.detectors.onnx_graph import parse_onnx
from bench.errors import BenchError


def load_onnx(model: nn.Module, path: Path) -> None:
    """Load an ONNX file, hashed before, into a YOLOX built without BatchNorm.

    Raises BenchError where `onnx` is not installed, or the file is not an export of this model.
    """
    convs = read_convs(path)
    names = list(execution_order(model))
    fault = f"{path}: not an export of this detector and its classes"
    if len(convs) != len(names):
        raise BenchError(f"{fault}: {len(convs)} convolutions instead of {len(names)}")
    state: dict[str, Tensor] = {}
    for name, (label, weight, bias) in zip(names, convs, strict=True):
        if _kept(label) != _predictor(name):
            raise BenchError(f"{fault}: {label} stands where {name} is expected")
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    own = model.state_dict()
    if state.keys() != own.keys():
        odd = sorted(state.keys() ^ own.keys())
        raise BenchError(f"{fault}: {len(odd)} parameters without their like, first {odd[0]}")
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise BenchError(f"{fault}: {name} {list(value.shape)} instead of {list(own[name].shape)}")
    model.load_state_dict(state)


def read_convs(path: Path) -> list[tuple[str, Tensor, Tensor]]:
    """Weight's name, weight and bias of every convolution of an ONNX graph, in the order of the graph."""
    graph = parse_onnx(path).graph
    try:
        from onnx import numpy_helper

        arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
        nodes = [node.input for node in graph.node if node.op_type == "Conv"]
        return [(w, torch.from_numpy(arrays[w].copy()), torch.from_numpy(arrays[b].copy())) for _, w, b in nodes]
    except Exception as error:  # KeyError, ValueError
        text = str(error).splitlines() or [type(error).__name__]
        raise BenchError(f"{path}: not an ONNX graph of convolutions with biases: {text[0]}") from None


def execution_order(model: Any) -> Iterator[str]:
    """Names of mmdet's convolutions in the order in which the original runs them."""
    backbone, neck, head = model.backbone, model.neck, model.bbox_head
    yield from _plain("backbone.stem.conv")
    for stage in backbone.layers[1:]:
        for name, part in getattr(backbone, stage).named_children():
            yield from _part(f"backbone.{stage}.{name}", part)
    levels = len(neck.in_channels)
    for k in range(levels - 1):
        yield from _part(f"neck.reduce_layers.{k}", neck.reduce_layers[k])
        yield from _part(f"neck.top_down_blocks.{k}", neck.top_down_blocks[k])
    for k in range(levels - 1):
        yield from _part(f"neck.downsamples.{k}", neck.downsamples[k])
        yield from _part(f"neck.bottom_up_blocks.{k}", neck.bottom_up_blocks[k])
    for k in range(levels):
        # The original counts the 1x1 convolution at the end of mmdet's neck to the head.
        yield from _part(f"neck.out_convs.{k}", neck.out_convs[k])
        for branch, predictors in (("cls", ("cls",)), ("reg", ("reg", "obj"))):
            stack = f"multi_level_{branch}_convs"
            for name, part in getattr(head, stack)[k].named_children():
                yield from _part(f"bbox_head.{stack}.{k}.{name}", part)
            yield from (f"bbox_head.multi_level_conv_{predictor}.{k}" for predictor in predictors)


def _part(name: str, part: Any) -> Iterator[str]:
    kind = type(part).__name__
    if kind == "CSPLayer":
        yield from _plain(f"{name}.main_conv")
        yield from _plain(f"{name}.short_conv")
        for k, block in enumerate(part.blocks):
            yield from _plain(f"{name}.blocks.{k}.conv1")
            yield from _part(f"{name}.blocks.{k}.conv2", block.conv2)
        yield from _plain(f"{name}.final_conv")
    elif kind == "SPPBottleneck":
        yield from _plain(f"{name}.conv1")
        yield from _plain(f"{name}.conv2")
    elif kind == "DepthwiseSeparableConvModule":
        yield from _plain(f"{name}.depthwise_conv")
        yield from _plain(f"{name}.pointwise_conv")
    else:
        yield from _plain(name)


def _plain(name: str) -> Iterator[str]:
    yield f"{name}.conv"


def _kept(label: str) -> str:
    """A weight's name where the export kept it: the predictors have no BatchNorm to fold."""
    return label if label.startswith("head.") else ""


def _predictor(name: str) -> str:
    """The original's name of mmdet's predictor, empty for any other convolution."""
    head, _, rest = name.partition("multi_level_conv_")
    return f"head.{rest.replace('.', '_preds.')}.weight" if head and rest else ""
