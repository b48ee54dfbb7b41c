"""From the outputs of an ONNX graph to scores and boxes of every location."""

import importlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.detectors.locations import Locations
from bench.errors import BenchError
from bench.schema.detector import OnnxScale

Outputs = tuple[Tensor, ...]
Decode = Callable[[Outputs], Locations]


def make_decoding(scale: OnnxScale, size: tuple[int, int], classes: int) -> Decode:
    """The declared decoding, for an input of `size` (width, height), px.

    What it returns raises BenchError for outputs of another form than the declared one.
    """
    strides, bins = scale.strides or (), scale.bins or 0
    match scale.decoding:
        case "yolox":
            return lambda outputs: _yolox(_rows(outputs, 5, classes, size, strides), size, strides)
        case "gfl":
            return lambda outputs: _gfl(_rows(outputs, 4 * bins, classes, size, strides), size, strides, classes)
    module, _, name = scale.decoding.partition(":")
    decode = getattr(importlib.import_module(module), name)
    return lambda outputs: _checked(scale.decoding, decode(outputs, size), classes)


def _yolox(rows: Tensor, size: tuple[int, int], strides: Sequence[int]) -> Locations:
    """YOLOX (2107.08430) as its authors export it: (x, y, log w, log h) in cells, then probabilities."""
    places, stride = _places(size, strides, rows)
    centre, half = (rows[..., :2] + places) * stride, rows[..., 2:4].exp() * stride / 2
    return Locations(rows[..., 4:5] * rows[..., 5:], torch.cat([centre - half, centre + half], -1))


def _gfl(rows: Tensor, size: tuple[int, int], strides: Sequence[int], classes: int) -> Locations:
    """GFL (2006.04388, eq. 5): the distance to each side is the expectation over its bins, in cells."""
    places, stride = _places(size, strides, rows)
    bins = rows[..., classes:].reshape(*rows.shape[:2], 4, -1).softmax(-1)
    left_top, right_bottom = (bins @ torch.arange(bins.shape[-1], dtype=rows.dtype, device=rows.device)).chunk(2, -1)
    return Locations(rows[..., :classes], torch.cat([places - left_top, places + right_bottom], -1) * stride)


def _places(size: tuple[int, int], strides: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row of each cell [L, 2], level by level and row by row, and its stride [L, 1]."""
    places, each = [], []
    for stride in strides:
        width, height = _cells(size, stride)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        places.append(torch.stack([x, y], -1).flatten(0, 1))
        each.append(torch.full((width * height, 1), stride))
    return torch.cat(places).to(like), torch.cat(each).to(like)


def _cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


def _rows(outputs: Outputs, others: int, classes: int, size: tuple[int, int], strides: Sequence[int]) -> Tensor:
    """The one output [n, L, classes and others]."""
    places = sum(width * height for width, height in (_cells(size, stride) for stride in strides))
    wanted = [places, classes + others]
    if len(outputs) != 1 or list(outputs[0].shape[1:]) != wanted:
        found = ", ".join(str(list(output.shape)) for output in outputs)
        want = f"[n, {places}, {wanted[1]}]"
        known, why = outputs[0].shape[-1] - others, ""
        if [*outputs[0].shape[1:-1]] == [places] and known > 0:
            why = f": the file knows {known} classes, the data have {classes} (docs/own-onnx.md, classes)"
        raise BenchError(
            f"its outputs are {found}; the classes, strides and bins that are declared want one {want}{why}"
        )
    return outputs[0]


def _checked(name: str, result: tuple[Tensor, Tensor], classes: int) -> Locations:
    scores, boxes = result
    if scores.ndim != 3 or scores.shape[2] != classes or boxes.shape != (*scores.shape[:2], 4):
        found = f"scores {list(scores.shape)} and boxes {list(boxes.shape)}"
        raise BenchError(f"{name} returned {found}; [n, places, {classes}] and [n, places, 4] are wanted")
    return Locations(scores, boxes)
