"""What a row's detector costs to store and to run: parameters, bytes, and bit operations (BOPs)."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.engine.inspect import build, empty_batch
from bench.engine.place import passes, trace_placement
from bench.plan.jobs import Job
from bench.quantization.attention import explicit_attention
from bench.quantization.placement import Placement
from bench.schema.bits import Bits
from bench.schema.placement import Policy

FP_BITS = 32


class Footprint(NamedTuple):
    """Of one image at the tier's input size. Convolutions and linear layers count; attention's products do not."""

    parameters: int
    bytes: int
    """Of the parameters at their bits; step sizes and BatchNorm statistics are left out."""
    macs: int
    """Multiplications with addition."""
    bops: int
    """Sum over layers of MACs x weight bits x activation bits."""


def footprint(job: Job, root: Path) -> Footprint:
    """Build the job's detector, for the classes of its data, and count; needs no checkpoint."""
    model, scale = build(job, root)
    batch = empty_batch(*scale.input.size)
    placement = None
    if job.protocol["policy"]:
        policy = Policy.model_validate_json(json.dumps(job.protocol["policy"]))
        placement = trace_placement(model, batch, policy, Bits.parse(job.protocol["bits"]))
    # torch's own attention would hide its projections from the count.
    explicit_attention(model)
    macs = _macs(model, batch)
    weights, inputs = _bits(placement)
    return Footprint(
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=sum(p.numel() * weights.get(name, FP_BITS) for name, p in model.named_parameters()) // 8,
        macs=sum(macs.values()),
        bops=sum(
            count * weights.get(f"{module}.weight", FP_BITS) * inputs.get((module, call), FP_BITS)
            for (module, call), count in macs.items()
        ),
    )


def _bits(placement: Placement | None) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    if placement is None:
        return {}, {}
    weights = {site.name: site.bits for site in placement.weights}
    return weights, {reader: site.bits for site in placement.activations for reader in site.readers}


@torch.no_grad()
def _macs(model: nn.Module, batch: dict[str, Any]) -> "Counter[tuple[str, int]]":
    """By the layer and the number of its call in one pass."""
    found: Counter[tuple[str, int]] = Counter()
    calls: Counter[str] = Counter()

    def watch(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            each = module.weight[0].numel()  # type: ignore[index]
            found[name, calls[name]] += output.numel() * int(each)
            calls[name] += 1

        return hook

    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(watch(name)) for name, module in layers]
    model.eval()
    try:
        next(passes(model, [batch]))()
    finally:
        for handle in hooks:
            handle.remove()
    return found
