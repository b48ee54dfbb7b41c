"""Place, check and calibrate the quantizers of one job."""

import warnings
from typing import Any, NamedTuple

from torch import nn
from torch.utils.data import DataLoader

from bench.calibration.batches import Batches
from bench.calibration.calibrate import dead_sites
from bench.data.dataset import Dataset
from bench.detectors.pipeline import Draw, image_ids, train_loader
from bench.engine.seeds import seed_all
from bench.errors import BenchError
from bench.methods.stack import MethodStack
from bench.plan.identity import derive_seed
from bench.quantization.apply import Quantizers, apply
from bench.quantization.attention import explicit_attention
from bench.quantization.placement import Placement, check_pins, place, quantizable
from bench.quantization.trace import record_reads
from bench.schema.bits import Bits
from bench.schema.placement import Calibration, Pins, Policy
from bench.schema.protocol import Protocol
from bench.schema.recipe import Augment


class Placed(NamedTuple):
    """What the record keeps of the quantizers."""

    pins: Pins
    """Counts of the policy's placement."""
    sites: tuple[str, ...]
    """Each quantizer as it was made: name, sign and bits."""
    packages: tuple[str, ...]
    """Python packages beside the project's own whose code computes them."""
    images: tuple[int | str, ...]
    """Ids of the calibration images."""
    dead: tuple[str, ...]
    """Quantizers whose tensor was zero throughout calibration: their step sizes say nothing about the data."""


def quantize(model: nn.Module, methods: MethodStack, train: Dataset, protocol: Protocol, pins: Pins | None) -> Placed:
    """Put calibrated quantizers into `model`.

    Calibration images come from the training loader with training augmentation, as in HQOD.
    Raises BenchError where the policy does not fit the model or the placement is not the pinned one.
    """
    policy, calibration = protocol.policy, protocol.calibration
    if policy is None or calibration is None:
        raise BenchError("a row with quantizers needs a policy and calibration images")
    loader = calibration_loader(train, protocol, calibration)
    # What is drawn at random must be the same at each walk; without it images are decoded again, and never all held.
    loaded = loader if protocol.recipe is None else list(loader)
    batches = Batches(model, loaded)
    methods.prepare(model, batches)
    placement = trace_placement(model, next(iter(loaded)), policy, protocol.bits)
    check_pins(placement, policy, pins)
    if placement.doubt:
        warnings.warn(placement.doubt, stacklevel=1)
    allocated = methods.allocate(model, placement, batches)
    quantizers = methods.make_quantizers(allocated)
    apply(model, allocated, quantizers)
    methods.calibrate(model, batches)
    return Placed(
        placement.pins(policy.edge_bits),
        _describe(quantizers),
        tuple(dict.fromkeys(package for quantizer in quantizers.values() for package in quantizer.packages)),
        image_ids(loader),
        dead_sites(model),
    )


def calibration_loader(train: Dataset, protocol: Protocol, calibration: Calibration) -> DataLoader[Any]:
    """Batches of the job's calibration images, the same at each call."""
    augment = protocol.recipe.augment if protocol.recipe else Augment(flip=0.0)
    seed_all(protocol.seeds.data)
    draw = _draw(protocol, calibration, len(train.coco["images"]))
    return train_loader(train, protocol.detector.scale.input, augment, calibration.batch, draw)


def trace_placement(model: nn.Module, batch: dict[str, Any], policy: Policy, bits: Bits) -> Placement:
    """The placement of a policy in `model`, found by one pass over `batch` in eval mode.

    Where the policy quantizes attention, that of the model becomes explicit.
    """
    if "attention" in policy.layers:
        explicit_attention(model)
    training = model.training
    model.eval()
    (first,) = Batches(model, [batch])
    recorded = record_reads(model, quantizable(model, policy), first)
    model.train(training)
    return place(model, recorded, policy, bits)


def _draw(protocol: Protocol, calibration: Calibration, images: int) -> Draw:
    """The calibration images of the repetition."""
    if calibration.sets is None:
        return Draw(protocol.seeds.data, calibration.images)
    first = protocol.seeds.repetition * calibration.images
    if first + calibration.images > images:
        raise BenchError(
            f"repetition {protocol.seeds.repetition} needs calibration images {first} to {first + calibration.images} "
            f"of {images} training images; fewer `seeds`, or fewer `images` of `calibration`"
        )
    # One order for all repetitions.
    return Draw(derive_seed("calibration", protocol.pin), first + calibration.images, skip=first)


def _describe(quantizers: Quantizers) -> tuple[str, ...]:
    return tuple(f"{name} {'' if q.signed else 'u'}int{q.bits}" for name, q in quantizers.items())
