"""Look at a job's model without training it."""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from bench.data.load import kind_of, load
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.protocol import build as build_methods
from bench.methods.protocol import having
from bench.plan.jobs import Job
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.schema.bits import Bits
from bench.schema.data import DataSpec
from bench.schema.detector import DetectorScale
from bench.schema.placement import Policy


def placement_of(job: Job, root: Path) -> Placement:
    """The placement of a quantized job, found on an empty image of its input size; needs no data."""
    if not job.protocol["policy"]:
        raise BenchError(f"{job.name}: the row has no quantizers")
    policy = Policy.model_validate_json(json.dumps(job.protocol["policy"]))
    model, scale = build(job, root)
    return trace_placement(model, empty_batch(*scale.input.size), policy, Bits.parse(job.protocol["bits"]))


def quantizers_of(job: Job, placement: Placement) -> Quantizers:
    """The quantizers that the job's method makes for a placement, not calibrated."""
    quantizers: Quantizers = having(build_methods(job.protocol["methods"]), "make_quantizers")[0](placement)
    return quantizers


def build(job: Job, root: Path) -> tuple[nn.Module, DetectorScale]:
    """The job's detector with the classes of its data, as its methods adapt it, its weights arbitrary."""
    scale = DetectorScale.model_validate_json(json.dumps(job.protocol["detector"]["scale"]))
    names = tuple(f"class{k}" for k in range(_class_count(job, root)))
    model = build_detector(job.protocol["detector"]["name"], scale, names, 0)
    for of in (*job.lineage, job):
        for adapt in having(build_methods(of.protocol["methods"]), "adapt_model"):
            adapt(model)
    return model, scale


def _class_count(job: Job, root: Path) -> int:
    spec: DataSpec = TypeAdapter(DataSpec).validate_json(json.dumps(job.data))
    kind = kind_of(spec, root)
    if kind.class_count is not None:
        return kind.class_count
    return kind.usual_classes if job.blocked else len(load(spec, "test", root, root).classes)


def empty_batch(width: int, height: int) -> dict[str, list[Any]]:
    """One black image of that size, px, as a detector's loader gives it."""
    from mmdet.structures import DetDataSample

    shape = (height, width)
    facts = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": (1.0, 1.0)}
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return {"inputs": [image], "data_samples": [DetDataSample(metainfo=facts)]}
