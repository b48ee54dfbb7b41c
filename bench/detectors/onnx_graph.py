"""An ONNX file as a torch module: every node is a child of a name that is safe, and a Conv is an `nn.Conv2d`."""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError


def parse_onnx(path: Path) -> Any:
    """The file's ModelProto.

    Raises BenchError where `onnx` is not installed or the file is none of ONNX.
    """
    try:
        import onnx
    except ImportError:
        raise BenchError(f"{path}: reading ONNX needs the extra: pip install 'qdet-bench[onnx]'") from None
    try:
        # From bytes: a graph in a file may ask for tensors of other files.
        return onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf's own classes
        raise BenchError(f"{path}: not an ONNX graph: {_first_line(error)}") from None


def read_graph(path: Path) -> nn.Module:
    """The graph of an ONNX file with one input, by onnx2torch; it takes a tensor and returns a tensor or a list.

    Nodes keep their names, with `_` for what is no letter or digit: `/backbone/Conv` becomes `backbone_Conv`.
    Raises BenchError where the file is none of ONNX or onnx2torch cannot convert it.
    """
    model = parse_onnx(path)
    try:
        from onnx2torch import convert
    except ImportError:
        raise BenchError(f"{path}: running ONNX needs the extra: pip install 'qdet-bench[onnx]'") from None
    constants = {entry.name for entry in model.graph.initializer}
    inputs = [entry.name for entry in model.graph.input if entry.name not in constants]
    if len(inputs) != 1 or not model.graph.node:
        raise BenchError(f"{path}: a graph with one input, the images, is wanted; this one has {len(inputs)}")
    if any(entry.data_location for entry in model.graph.initializer):
        raise BenchError(f"{path}: keeps weights in other files; save it as one file")
    _rename(model.graph)
    try:
        graph: nn.Module = convert(model)
    except NotImplementedError as error:
        operation = re.search(r"operation_type='(\w+)', version=(\d+)", str(error))
        what = f"operation {operation[1]} of opset {operation[2]}" if operation else _first_line(error)
        raise BenchError(f"{path}: onnx2torch cannot convert {what}; export the model without it") from None
    except Exception as error:  # whatever onnx, its shape inference and the converters raise
        raise BenchError(f"{path}: onnx2torch cannot convert it: {_first_line(error)}") from None
    return graph


@torch.no_grad()
def takes_batches(graph: nn.Module, size: tuple[int, int]) -> bool:
    """Whether two random images of `size` (width, height) in one batch give what each gives alone.

    An exported Reshape may hold a batch of one, and then returns one long image for several.
    """
    width, height = size
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    try:
        together, apart = outputs_of(graph, images), [outputs_of(graph, image) for image in images[:, None]]
    except (RuntimeError, ValueError, IndexError):
        return False
    expected = [torch.cat(pair) for pair in zip(*apart, strict=True)]
    return all(a.shape == b.shape and torch.allclose(a, b, 1e-4, 1e-4) for a, b in zip(together, expected, strict=True))


def outputs_of(graph: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """All outputs of a pass over `images` [n, 3, h, w]."""
    with warnings.catch_warnings():
        # onnx2torch indexes by lists.
        warnings.filterwarnings("ignore", "Using a non-tuple sequence", UserWarning)
        found = graph(images)
    return (found,) if isinstance(found, Tensor) else tuple(found)


def _rename(graph: Any) -> None:
    taken: set[str] = set()
    for k, node in enumerate(graph.node):
        name = plain = re.sub(r"\W+", "_", node.name).strip("_") or f"{node.op_type}_{k}"
        while name in taken:
            name = f"{plain}_{k}"
            k += 1
        taken.add(name)
        node.name = name


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
