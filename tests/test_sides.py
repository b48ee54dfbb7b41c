"""Rows and layers of which one side alone has quantizers, bits by pattern, and quantizers that are not their site's."""

import copy
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from detector_scales import drawn_batch, losses
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.methods.tqt import TqtFixed
from bench.quantization import kernels
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.conv import QuantConv2d
from bench.quantization.layer import Held
from bench.quantization.lsq import LsqQuantizer
from bench.quantization.placement import Placement
from bench.quantization.quantizer import Quantizer
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.placement import Policy

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

TABLE = load_suite(SUITE, PROJECT).suite
POLICY = TABLE.policies["layers"]
LSQ_OPTIONS = TABLE.row("lsq-w4a4").methods[0].options


@pytest.fixture(scope="module")
def detector() -> Any:
    return build_detector("retinanet-r18", TABLE.tiers["smoke"].detectors["retinanet-r18"], ("a", "b"), 0).eval()


def placement(detector: Any, row: str = "4/4", **changes: Any) -> Placement:
    declared = {**POLICY.model_dump(mode="json"), **changes}
    policy = Policy.model_validate(declared, strict=False)
    return trace_placement(detector, empty_batch(64, 64), policy, Bits.parse(row))


def quantized(detector: Any, found: Placement) -> Any:
    model, method = copy.deepcopy(detector), LSQ(LSQ_OPTIONS)
    apply(model, found, method.make_quantizers(found))
    method.calibrate(model, Batches(model, [drawn_batch(64)]))
    return model


@pytest.mark.parametrize("bits", ["4/32", "32/4"])
def test_a_side_at_32_has_no_quantizer_at_the_edges_either(detector: Any, bits: str) -> None:
    both, one = placement(detector), placement(detector, bits)
    weights, kept = bits == "4/32", ("weights", "activations")[bits != "4/32"]
    assert getattr(one, kept) == getattr(both, kept) and not getattr(one, ("activations", "weights")[bits != "4/32"])
    pins = one.pins(8)
    assert (pins.weights, pins.activations) == ((38, 0) if weights else (0, len(both.activations)))
    model = quantized(detector, one)
    layers = quantized_layers(model)
    assert set(layers) == {site.module for site in both.weights}
    for layer in layers.values():
        assert (layer.held.weight is not None) is weights
        assert all((q is None) is weights for q in layer.held.inputs)
    shared = model.bbox_head.cls_convs[0].conv
    assert len(shared.held.inputs) == 5
    losses(model.train(), drawn_batch(64)).backward()
    steps = {n: p for n, p in model.named_parameters() if n.endswith(".step")}
    assert len(steps) == len(one.sites) and all(p.grad is not None for p in steps.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.backbone.conv1.weight.grad.any() and model.bbox_head.retina_cls.weight.grad.any()


def half(weight: bool, **shape: Any) -> QuantConv2d:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, **shape)
    made = LsqQuantizer(4, True, None, "mqbench", "batch", not weight)  # type: ignore[arg-type]
    made.step.data.fill_(0.07)
    return QuantConv2d(conv, Held(made, (None,)) if weight else Held(None, (made,)))


@pytest.mark.parametrize("path", ["numba", "eager"])
@pytest.mark.parametrize("weight", [True, False], ids=["weight", "input"])
@pytest.mark.parametrize("image", [True, False], ids=["image", "features"])
def test_the_one_node_with_one_side_is_the_composition(path: Any, weight: bool, image: bool) -> None:
    conv, x = half(weight, padding=1), torch.randn(2, 4, 8, 8).requires_grad_(not image)
    own = conv.held.weight if weight else conv.held.inputs[0]
    assert own is not None
    leaves = [conv.weight, conv.bias, *own.parameters(), *([] if image else [x])]
    with kernels.using(path):
        y = conv(x)
        assert type(y.grad_fn).__name__ == "_ConvBackward"
        out = torch.randn(y.shape)
        found = torch.autograd.grad(y, leaves, out)
        q, w = (x, own(conv.weight)) if weight else (own(x), conv.weight)
        expected = torch.autograd.grad(z := conv2d(q, w, conv.bias, padding=1), leaves, out)
    assert torch.equal(y, z)
    for a, b in zip(found, expected, strict=True):
        # The step of an image alone comes from the sum in another order.
        torch.testing.assert_close(a, b, rtol=1e-4 if image and a.dim() == 0 else 0, atol=0)


@pytest.mark.parametrize("weight", [True, False], ids=["weight", "input"])
def test_second_derivatives_with_one_side(weight: bool) -> None:
    conv, x = half(weight).double(), torch.randn(1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    own = conv.held.weight if weight else conv.held.inputs[0]
    assert own is not None
    own.double()
    leaves = [conv.weight, own.step, x]

    def second(y: Tensor) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves)  # type: ignore[arg-type]

    q, w = (x, own(conv.weight)) if weight else (own(x), conv.weight)
    for ours, theirs in zip(second(conv(x)), second(conv2d(q, w, conv.bias)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_tqt_fixed_has_sides_too(detector: Any) -> None:
    options = TABLE.row("tqt-fixed-w4a4").methods[0].options
    for bits in ("4/32", "32/8"):
        model, found, method = copy.deepcopy(detector), placement(detector, bits), TqtFixed(options)
        apply(model, found, method.make_quantizers(found))
        method.calibrate(model, Batches(model, [drawn_batch(64)]))
        assert torch.isfinite(losses(model.train(), drawn_batch(64)))


def test_bits_by_pattern_come_before_the_row_and_the_edges(detector: Any) -> None:
    bits = {"backbone.*": "2/6", "backbone.layer2.*": "8/32", "bbox_head.retina_cls": "5/5", "neck.*": "32/32"}
    found = placement(detector, bits=bits)
    weights = {site.module: site.bits for site in found.weights}
    inputs = {module: site.bits for site in found.activations for module, _ in site.readers}
    assert (weights["backbone.conv1"], inputs["backbone.conv1"]) == (2, 6)
    assert (weights["backbone.layer1.0.conv1"], inputs["backbone.layer1.0.conv1"]) == (2, 6)
    assert weights["backbone.layer2.0.conv1"] == 8 and "backbone.layer2.0.conv1" not in inputs
    assert (weights["bbox_head.retina_cls"], weights["bbox_head.retina_reg"]) == (5, 8)
    assert not any(module.startswith("neck.") for module in {*weights, *inputs})
    assert "neck.fpn_convs.0.conv.weight" in found.fp
    model = quantized(detector, found)
    assert torch.isfinite(losses(model.train(), drawn_batch(64)))


def test_the_order_of_patterns_says_nothing(detector: Any) -> None:
    bits = {"backbone.*": "2/2", "*conv1": "8/8", "backbone.layer1.0.conv1": "6/6"}
    backwards = dict(reversed(bits.items()))
    assert placement(detector, bits=bits) == placement(detector, bits=backwards)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": {"backbone.conv9": "8/8"}}, "the pattern 'backbone.conv9' of `bits` fits no quantized layer"),
        ({"bits": {"neck.*": "8/8"}, "keep": ["neck.*"]}, r"the pattern 'neck\.\*' of `bits` fits no quantized layer"),
        ({"bits": {"neck.*": "8/8", "*.conv": "2/2"}}, "give layer 'neck.lateral_convs.0.conv' different bits"),
    ],
)
def test_wrong_patterns(detector: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        placement(detector, **changes)


def test_a_policy_without_patterns_is_written_as_before() -> None:
    assert "bits" not in POLICY.model_dump(mode="json", exclude_none=True)
    for wrong in ({}, {"a": "ter/ter"}, {"a": "4/-"}, {"a": "4"}):
        with pytest.raises(ValueError, match="bits"):
            Policy.model_validate({**POLICY.model_dump(mode="json"), "bits": wrong}, strict=False)


class _Offset(Quantizer):
    """Codes without sign, and an offset."""

    scheme = "uniform, asymmetric"

    def quantize(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("site", "change", "message"),
    [
        ("backbone.layer1.0.conv1.weight", {"bits": 8}, "the method's LsqQuantizer is int8, the site is int4"),
        ("neck.lateral_convs.0.conv.input", {"bits": 2}, "the method's LsqQuantizer is uint2, the site is uint4"),
        ("backbone.layer1.0.conv1.input", {"signed": True}, "is int4, the site is uint4"),
        ("backbone.conv1.input", {"signed": False}, "is uint8, the site is int8"),
    ],
)
def test_a_quantizer_that_is_not_its_sites_is_refused(
    detector: Any, site: str, change: dict[str, Any], message: str
) -> None:
    found = placement(detector)
    made = LSQ(LSQ_OPTIONS).make_quantizers(found)
    own = made[site]
    declared = {"bits": own.bits, "signed": own.signed, **change}
    made[site] = LsqQuantizer(**declared, observer=own.observed, range_test="paper", grad_scale="none", batched=True)
    with pytest.raises(BenchError, match=message) as error:
        apply(copy.deepcopy(detector), found, made)
    assert str(error.value).startswith(f"{site}: ")


def test_an_offset_needs_no_sign(detector: Any) -> None:
    found = placement(detector)
    made = LSQ(LSQ_OPTIONS).make_quantizers(found)
    made["backbone.conv1.input"] = _Offset(8, False)
    apply(copy.deepcopy(detector), found, made)
    made["backbone.conv1.input"] = _Offset(4, False)
    with pytest.raises(BenchError, match=r"backbone\.conv1\.input: the method's _Offset is int4, the site is int8"):
        apply(copy.deepcopy(detector), found, made)
