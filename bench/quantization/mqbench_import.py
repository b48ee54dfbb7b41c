"""Imports MQBench (ModelTC/MQBench 00f477d), an extra, on a torch that has moved what it asks for."""

import functools
import importlib
import sys
from typing import Any, NamedTuple

import torch.onnx

from bench.errors import BenchError

MOVED = ("_type_utils", "symbolic_helper", "symbolic_opset9")
"""Modules of `torch.onnx` that MQBench imports for its export, and that torch 2.9 put elsewhere."""


class Mqbench(NamedTuple):
    """The modules of MQBench that are used."""

    lsq: Any
    tqt: Any
    observer: Any


@functools.cache
def load_mqbench() -> Mqbench:
    """Import MQBench; BenchError where it is not installed or does not import."""
    for name in MOVED:
        if not hasattr(torch.onnx, name):
            module = importlib.import_module(f"torch.onnx._internal.torchscript_exporter.{name}")
            setattr(torch.onnx, name, module)
            sys.modules[f"torch.onnx.{name}"] = module
    try:
        names = ("fake_quantize.lsq", "fake_quantize.tqt", "observer")
        return Mqbench(*(importlib.import_module(f"mqbench.{name}") for name in names))
    except ImportError as error:
        raise BenchError(
            f"backend mqbench: {error}; install the extra `qdet-bench[mqbench]`, or leave out `backend`"
        ) from None
