"""Place, check and calibrate the quantizers of one job."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import nn

from bench.data.dataset import Dataset
from bench.detectors.pipeline import Draw, subtracts_mean, train_loader
from bench.engine.order import Order
from bench.engine.seeds import seed_all
from bench.errors import BenchError
from bench.methods.protocol import having
from bench.quantization.apply import apply
from bench.quantization.attention import explicit_attention
from bench.quantization.placement import Placement, check_pins, place, quantizable
from bench.quantization.trace import record_reads
from bench.schema.bits import Bits
from bench.schema.detector import DetectorScale
from bench.schema.placement import Calibration, Pins, Policy
from bench.schema.recipe import Augment, Recipe


class Placed(NamedTuple):
    """What the record keeps of the quantizers."""

    pins: Pins
    sites: tuple[str, ...]
    images: tuple[int | str, ...]
    """Ids of the calibration images."""


def quantize(
    model: nn.Module,
    methods: list[Any],
    train: Dataset,
    order: Order,
    scale: DetectorScale,
    recipe: Recipe | None,
) -> Placed:
    """Put calibrated quantizers into `model`.

    Calibration images come from the training loader with training augmentation, as in HQOD (HQOD).
    Raises BenchError where the policy does not fit the model or the placement is not the pinned one.
    """
    policy = Policy.model_validate_json(json.dumps(order.protocol["policy"]))
    calibration = Calibration.model_validate_json(json.dumps(order.protocol["calibration"]))
    augment = recipe.augment if recipe else Augment(flip=0.0)
    seed = order.protocol["seeds"]["data"]
    seed_all(seed)
    loader = train_loader(train, scale.input, augment, calibration.batch, Draw(seed, calibration.images))
    batches = list(loader)
    placement = trace_placement(model, batches[0], policy, Bits.parse(order.protocol["bits"]))
    check_pins(placement, policy, order.pins)
    makers = having(methods, "make_quantizers")
    if len(makers) != 1:
        raise BenchError(f"{len(makers)} methods of the row make quantizers instead of one")
    quantizers = makers[0](placement)
    sites = [site.name for site in placement.sites]
    if sorted(quantizers) != sorted(sites):
        raise BenchError("the method's quantizers are not those of the placement")
    apply(model, placement, quantizers)
    for calibrate in having(methods, "calibrate"):
        calibrate(model, passes(model, batches))
    images = tuple(sample.img_id for batch in batches for sample in batch["data_samples"])
    return Placed(placement.pins(policy.edge_bits), _describe(placement), images)


def trace_placement(model: nn.Module, batch: dict[str, Any], policy: Policy, bits: Bits) -> Placement:
    """The placement of a policy in `model`, found by one pass over `batch` in eval mode.

    Where the policy quantizes attention, that of the model becomes explicit.
    """
    if "attention" in policy.layers:
        explicit_attention(model)
    training = model.training
    model.eval()
    reads = record_reads(model, quantizable(model, policy), next(passes(model, [batch])))
    model.train(training)
    return place(model, reads, policy, bits, not subtracts_mean(model))


def passes(model: nn.Module, batches: list[dict[str, Any]]) -> Iterator[Callable[[], Any]]:
    """One forward pass up to the raw outputs for each batch of a loader, its images prepared already."""
    for batch in batches:
        data = model.data_preprocessor(batch, False)  # type: ignore[operator]
        yield functools.partial(model, data["inputs"], data["data_samples"], mode="tensor")


def _describe(placement: Placement) -> tuple[str, ...]:
    return tuple(f"{site.name} {'' if site.signed else 'u'}int{site.bits}" for site in placement.sites)
