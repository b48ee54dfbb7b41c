"""Quantization after training of odd images and weights: values that are defined, or an error that says what to do."""

from typing import Any

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch, settle, small_scale

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.stack import MethodStack
from bench.quantization.apply import apply
from bench.schema.load import load_suite
from bench.schema.protocol import VersionedMethod

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

SUITE = load_suite("detptq/retinanet_r18", PROJECT).suite
ROWS = ("equalize", "bias", "adaround", "qdrop", "lapq", "detptq-odol", "detptq-loss")
CASES = ("one image", "constant images", "black images without objects", "a dead channel and a weight of zeros")


def images(case: str) -> list[dict[str, list[Any]]]:
    """Batches of one image."""
    batches = [drawn_batch(64, 1) for _ in range(1 if case == "one image" else 2)]
    for batch in batches:
        if case == "constant images":
            batch["inputs"][0].fill_(90)
        if case == "black images without objects":
            batch["inputs"][0].zero_()
            sample = batch["data_samples"][0]
            sample.gt_instances = sample.gt_instances[:0]
    return batches


def detector(case: str) -> Any:
    model: Any = build_detector("retinanet-r18", small_scale("retinanet-r18"), ("a", "b", "c"), 0)
    settle(model, drawn_batch(64))
    if case == "a dead channel and a weight of zeros":
        norm = model.backbone.layer2[0].bn1
        norm.weight.data[1], norm.bias.data[1] = 0.0, -1.0
        model.backbone.layer3[0].conv2.weight.data.zero_()
    return model.eval()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ROWS)
def test_odd_images_and_weights_have_a_defined_result(name: str, case: str) -> None:
    row, tier = SUITE.row(f"{name}-full"), SUITE.tiers["smoke"]
    stack = MethodStack.of(VersionedMethod(name=use.name, version=1, options=use.options) for use in tier.methods(row))
    model = detector(case)
    batches = Batches(model, images(case))
    stack.adapt_model(model)
    stack.prepare(model, batches)
    assert row.policy is not None
    placement = trace_placement(model, drawn_batch(64), SUITE.policies[row.policy], row.bits)
    apply(model, placement, stack.make_quantizers(placement))
    if case == "one image" and name.startswith("detptq"):
        with pytest.raises(BenchError, match="declare at least two batches"):
            stack.calibrate(model, batches)
        return
    stack.calibrate(model, batches)
    assert stack.facts(model) is not None  # facts that are not finite are refused
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    (other,) = Batches(model, [drawn_batch(64)])
    with torch.no_grad():
        assert all(bool(level.isfinite().all()) for outputs in other() for level in outputs)
