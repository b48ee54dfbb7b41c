"""Look at a job's model without training it: its quantizers, and what it costs."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.calibration.batches import Batches
from bench.data.load import kind_of, load
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.stack import MethodStack
from bench.plan.jobs import Job
from bench.quantization.apply import Quantizers
from bench.quantization.attention import explicit_attention
from bench.quantization.footprint import Footprint, footprint
from bench.quantization.placement import Placement


def placement_of(job: Job, root: Path, model: nn.Module | None = None) -> Placement:
    """The placement of a quantized job, found on an empty image of its input size; needs no data."""
    if job.protocol.policy is None:
        raise BenchError(f"{job.name}: the row has no quantizers")
    return trace_placement(model or build(job, root), _image(job), job.protocol.policy, job.protocol.bits)


def quantizers_of(job: Job, placement: Placement) -> Quantizers:
    """The quantizers that the job's method makes for a placement, not calibrated."""
    return MethodStack.of(job.protocol.methods).make_quantizers(placement)


def footprint_of(job: Job, root: Path) -> Footprint:
    """What the job's detector costs, for the classes of its data; needs no checkpoint."""
    model = build(job, root)
    placement = None if job.protocol.policy is None else placement_of(job, root, model)
    # torch's own attention would hide its projections from the count.
    explicit_attention(model)
    model.eval()
    (forward,) = Batches(model, [_image(job)])
    return footprint(model, forward, placement)


def build(job: Job, root: Path) -> nn.Module:
    """The job's detector with the classes of its data, as its methods adapt it, its weights arbitrary."""
    detector = job.protocol.detector
    names = tuple(f"class{k}" for k in range(_class_count(job, root)))
    model = build_detector(detector.name, detector.scale, names, 0, root)
    for of in (*job.lineage, job):
        MethodStack.of(of.protocol.methods).adapt_model(model)
    return model


def empty_batch(width: int, height: int) -> dict[str, list[Any]]:
    """One black image of that size, px, as a detector's loader gives it."""
    from mmdet.structures import DetDataSample

    shape = (height, width)
    facts = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": (1.0, 1.0)}
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return {"inputs": [image], "data_samples": [DetDataSample(metainfo=facts)]}


def _image(job: Job) -> dict[str, list[Any]]:
    return empty_batch(*job.protocol.detector.scale.input.size)


def _class_count(job: Job, root: Path) -> int:
    kind = kind_of(job.protocol.data, root)
    if kind.class_count is not None:
        return kind.class_count
    return kind.usual_classes if job.blocked else len(load(job.protocol.data, "test", root, root).classes)
