"""Where quantizers go in RetinaNet-R18: by hand, against the recorded pass; and that nothing is skipped silently."""

import copy
from collections.abc import Iterator

import pytest
import torch
from conftest import PROJECT, SUITE
from torch import nn

from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.quantization.apply import apply
from bench.quantization.conv import QuantConv2d
from bench.quantization.placement import ActivationSite, Placement, check_pins, place
from bench.quantization.trace import Recorded
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.detector import DetectorScale
from bench.schema.load import load_suite
from bench.schema.placement import Pins

TABLE = load_suite(SUITE, PROJECT).suite
POLICY = TABLE.policies["hqod"]
LSQ_OPTIONS = TABLE.row("lsq-w4a4").methods[0].options


@pytest.fixture(scope="module")
def model() -> nn.Module:
    scale: DetectorScale = TABLE.tiers["smoke"].detectors["retinanet-r18"]
    return build_detector("retinanet-r18", scale, tuple(map(str, range(20))), 0).eval()


@pytest.fixture(scope="module")
def placement(model: nn.Module) -> Placement:
    return trace_placement(model, empty_batch(64, 64), POLICY, Bits.parse("4/4"))


def readers(placement: Placement) -> dict[str, set[tuple[str, int]]]:
    return {site.name: set(site.readers) for site in placement.activations}


def test_a_residual_blocks_first_convolution_shares_with_its_downsample(placement: Placement) -> None:
    found = readers(placement)["backbone.layer2.0.conv1.input"]
    assert found == {("backbone.layer2.0.conv1", 0), ("backbone.layer2.0.downsample.0", 0)}


@pytest.fixture(scope="module")
def of_layers(model: nn.Module) -> Placement:
    return trace_placement(model, empty_batch(64, 64), TABLE.policies["layers"], Bits.parse("4/4"))


def test_the_head_has_one_quantizer_per_level_shared_by_both_branches(of_layers: Placement) -> None:
    found = readers(of_layers)
    for level in range(5):
        both = {("bbox_head.cls_convs.0.conv", level), ("bbox_head.reg_convs.0.conv", level)}
        assert found[f"bbox_head.cls_convs.0.conv.input{level}"] == both
        assert found[f"bbox_head.cls_convs.1.conv.input{level}"] == {("bbox_head.cls_convs.1.conv", level)}


def test_parts_share_where_all_readers_read_quantized_values(placement: Placement, of_layers: Placement) -> None:
    """C3 is read by the backbone's next stage and by the neck: one quantizer, or with `layers` two."""
    for found, number in ((placement, 1), (of_layers, 2)):
        by_reader = {reader: site.name for site in found.activations for reader in site.readers}
        both = {by_reader["backbone.layer3.0.conv1", 0], by_reader["neck.lateral_convs.0.conv", 0]}
        assert len(both) == number


def test_signs_and_bits(placement: Placement) -> None:
    sites = {site.name: site for site in placement.activations}
    image = sites["backbone.conv1.input"]
    assert (image.producer, image.bits, image.signed) == ("input", 8, True)
    assert not sites["backbone.layer1.0.conv1.input"].signed  # after max pooling
    assert not sites["backbone.layer1.0.conv2.input"].signed  # after ReLU
    assert sites["neck.fpn_convs.0.conv.input"].signed  # after an addition
    assert sites["bbox_head.cls_convs.0.conv.input0"].signed  # an FPN output
    assert sites["bbox_head.retina_cls.input4"].bits == sites["bbox_head.retina_reg.input0"].bits == 8
    weights = {site.name: site for site in placement.weights}
    assert weights["backbone.conv1.weight"].bits == 8 and weights["neck.lateral_convs.0.conv.weight"].bits == 4
    assert all(site.signed for site in placement.weights)


def test_every_convolution_is_quantized_and_the_rest_is_named(model: nn.Module, placement: Placement) -> None:
    convolutions = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert {site.name for site in placement.weights} == convolutions
    assert convolutions | set(placement.fp) == {name for name, _ in model.named_parameters()}
    assert not convolutions & set(placement.fp)


def test_pins(placement: Placement) -> None:
    pinned = TABLE.row("lsq-w4a4").pins["smoke"]
    check_pins(placement, POLICY, pinned)
    with pytest.raises(BenchError, match="weights 38 instead of 37"):
        check_pins(placement, POLICY, Pins(**{**pinned.model_dump(), "weights": 37}))


@pytest.mark.parametrize("field", ["first", "last", "keep"])
def test_a_pattern_that_fits_nothing_is_refused(model: nn.Module, field: str) -> None:
    policy = POLICY.model_copy(update={field: ("backbone.conv9",)})
    with pytest.raises(BenchError, match="conv9"):
        place(model, Recorded([], [], [], {}, {}), policy, Bits.parse("4/4"))


@pytest.mark.parametrize("pattern", ["conv1", "backbne.conv1"])
def test_the_nearest_layer_is_named(model: nn.Module, pattern: str) -> None:
    """One written without what stands before it, as of a node of an ONNX file, or misspelt."""
    policy = POLICY.model_copy(update={"first": (pattern,)})
    with pytest.raises(BenchError, match=f"the pattern '{pattern}' fits no layer of the model; did you mean 'backbone"):
        trace_placement(model, empty_batch(64, 64), policy, Bits.parse("4/4"))


@pytest.fixture(scope="module")
def quantized(model: nn.Module, placement: Placement) -> nn.Module:
    changed = copy.deepcopy(model)
    method = LSQ(LSQ_OPTIONS)
    apply(changed, placement, method.make_quantizers(placement))
    method.calibrate(changed, passes(changed))
    return changed.eval()


def passes(model: nn.Module, count: int = 1) -> Iterator[object]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 64, 64, generator=generator)
    return (lambda image=image: model(image[None], None, mode="tensor") for image in images)


def outputs(model: nn.Module) -> list[torch.Tensor]:
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        return [level for branch in model(image, None, mode="tensor") for level in branch]


def test_no_quantized_weight_is_used_in_fp(quantized: nn.Module, placement: Placement) -> None:
    """Snap every weight to its grid, move it by less than half a step: a layer that read it in FP would notice."""
    layers = {n: m for n, m in quantized.named_modules() if isinstance(m, QuantConv2d)}
    assert set(layers) == {site.module for site in placement.weights}
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in layers.values():
            layer.weight.copy_(layer.held.weight(layer.weight))
        snapped = outputs(quantized)
        for name, layer in layers.items():
            kept = layer.weight.clone()
            noise = torch.rand(kept.shape, generator=generator) * 0.9 - 0.45
            layer.weight.add_(noise * layer.held.weight.step)
            assert all(torch.equal(a, b) for a, b in zip(snapped, outputs(quantized), strict=True)), name
            layer.weight.copy_(kept)


def test_quantizers_are_trained_saved_and_loaded(quantized: nn.Module, placement: Placement) -> None:
    steps = {n: p for n, p in quantized.named_parameters() if n.endswith(".step")}
    assert len(steps) == len(placement.sites) == len({id(p) for p in steps.values()})
    quantized.zero_grad()
    sum(level.square().sum() for branch in next(passes(quantized))() for level in branch).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad) for p in steps.values())
    other = copy.deepcopy(quantized)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
    other.load_state_dict(quantized.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(outputs(quantized), outputs(other), strict=True))


def test_a_policy_that_gives_all_tensors_a_sign_is_doubted() -> None:
    """Half of the levels of a tensor behind a ReLU are then not used."""
    behind = ActivationSite("a.input", (("a", 0),), "relu", 4, True)
    image = ActivationSite("b.input", (("b", 0),), "input", 8, True)
    doubt = Placement((), (behind, image), ()).doubt
    assert doubt == "the policy gives all tensors a sign, also 1 that are never negative; see `unsigned_after`"
    assert Placement((), (image,), ()).doubt is None
    assert Placement((), (behind._replace(signed=False), image), ()).doubt is None
