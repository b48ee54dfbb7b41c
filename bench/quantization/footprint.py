"""What a detector costs to store and to run: parameters, bytes, and bit operations (BOPs)."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.quantization.placement import Placement

FP_BITS = 32


class Footprint(NamedTuple):
    """Of one pass. Convolutions and linear layers count; attention's products do not."""

    parameters: int
    bytes: int
    """Of the parameters at their bits; step sizes and BatchNorm statistics are left out."""
    macs: int
    """Multiplications with addition."""
    bops: int
    """Sum over layers of MACs x weight bits x activation bits."""


def footprint(model: nn.Module, forward: Callable[[], Any], placement: Placement | None) -> Footprint:
    """Count in the pass `forward` of `model`, which has no quantizers yet; None: nothing is quantized."""
    found = macs(model, forward)
    weights, inputs = _bits(placement)
    return Footprint(
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=sum(p.numel() * weights.get(name, FP_BITS) for name, p in model.named_parameters()) // 8,
        macs=sum(found.values()),
        bops=sum(
            count * weights.get(f"{module}.weight", FP_BITS) * inputs.get((module, call), FP_BITS)
            for (module, call), count in found.items()
        ),
    )


def _bits(placement: Placement | None) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    if placement is None:
        return {}, {}
    weights = {site.name: site.bits for site in placement.weights}
    return weights, {reader: site.bits for site in placement.activations for reader in site.readers}


@torch.no_grad()
def macs(model: nn.Module, forward: Callable[[], Any]) -> "Counter[tuple[str, int]]":
    """MACs of the pass `forward`, by the layer and the number of its call."""
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
    try:
        forward()
    finally:
        for handle in hooks:
            handle.remove()
    return found
