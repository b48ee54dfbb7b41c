"""Look at a job's model without training it."""

import json
from pathlib import Path
from typing import Any

import torch

from bench.detectors.build import build_detector
from bench.engine.quantize import trace_placement
from bench.errors import BenchError
from bench.plan.jobs import Job
from bench.quantization.placement import Placement
from bench.spec.bits import Bits
from bench.spec.detector import DetectorScale
from bench.spec.placement import Policy

CLASSES = 20
"""The number of classes moves no quantizer."""


def placement_of(job: Job, root: Path) -> Placement:
    """The placement of a quantized job, found on an empty image of its input size; needs no data."""
    if not job.protocol["policy"]:
        raise BenchError(f"{job.name}: the row has no quantizers")
    scale = DetectorScale.model_validate_json(json.dumps(job.protocol["detector"]["scale"]))
    policy = Policy.model_validate_json(json.dumps(job.protocol["policy"]))
    classes = tuple(f"class{k}" for k in range(CLASSES))
    model = build_detector(job.protocol["detector"]["name"], scale, classes, 0)
    return trace_placement(model, empty_batch(*scale.input.size), policy, Bits.parse(job.protocol["bits"]))


def empty_batch(width: int, height: int) -> dict[str, list[Any]]:
    """One black image of that size, px, as a detector's loader gives it."""
    from mmdet.structures import DetDataSample

    shape = (height, width)
    facts = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": (1.0, 1.0)}
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return {"inputs": [image], "data_samples": [DetDataSample(metainfo=facts)]}
