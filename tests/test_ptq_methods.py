"""What changes a trained model before or after it is quantized: folded norms, equalized weights, corrected biases."""

import copy
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from detector_scales import SMALL, drawn_batch, small_scale
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.bias_correction import BiasCorrection, means
from bench.methods.equalize import Equalize, Pair, equalized
from bench.methods.fold_bn import FoldBn
from bench.methods.stack import MethodStack
from bench.quantization.apply import apply, quantized_layers
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.protocol import VersionedMethod

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

POLICY = load_suite(SUITE, PROJECT).suite.policies["hqod"]
UNIFORM = {"weights": {"kind": "minmax"}, "activations": {"kind": "minmax"}, "granularity": "channel"}
OPTIONS: dict[str, dict[str, Any]] = {
    "fold_bn": {}, "equalize": {"rounds": 20}, "uniform": UNIFORM, "bias_correction": {"inputs": "quantized"},
}  # fmt: skip


def detector(name: str) -> Any:
    """With norms that do something."""
    model: Any = build_detector(name, small_scale(name), ("a", "b"), 0)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for values in (module.weight.data, module.running_var):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
            for values in (module.bias.data, module.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator) * 0.1)
    return model.eval()


def batches_of(model: nn.Module, count: int = 1) -> Batches:
    return Batches(model, [drawn_batch(64)] * count)


@torch.no_grad()
def outputs(model: nn.Module) -> Tensor:
    def flat(found: Any) -> list[Tensor]:
        if isinstance(found, Tensor):
            return [found.flatten()]
        values = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
        return [tensor for value in values for tensor in flat(value)]

    (batch,) = batches_of(model)
    return torch.cat(flat(model.extract_feat(batch.inputs)))  # type: ignore[operator]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_folded_norms_change_nothing_but_rounding(name: str) -> None:
    model = detector(name)
    before, norms = outputs(model), sum(isinstance(m, _BatchNorm) for m in model.modules())
    method = FoldBn({})
    method.adapt_model(model)
    after = outputs(model)
    assert (after - before).abs().max() <= 1e-4 * before.abs().max()
    assert method.facts(model) == {"folded": norms, "not folded": []} and norms > 5


def test_a_convolution_of_several_norms_keeps_them() -> None:
    conv = nn.Conv2d(3, 4, 1)
    model = nn.ModuleList([nn.Sequential(conv, nn.BatchNorm2d(4)), nn.Sequential(conv, nn.BatchNorm2d(4))])
    alone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    method, whole = FoldBn({}), nn.ModuleList([model, alone])
    method.adapt_model(whole)
    assert method.facts(whole) == {"folded": 0, "not folded": ["0.0.1", "0.1.1", "1.2"]}


def test_equalized_channels_have_equal_ranges() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)
    with torch.no_grad():
        first.weight *= torch.logspace(-2, 2, 8).view(-1, 1, 1, 1)
        first.weight[3] = 0
        net = nn.Sequential(first, nn.ReLU(), second)
        x = torch.randn(2, 3, 9, 9)
        before = net(x)
        equalized(first, second)
        torch.testing.assert_close(net(x), before, rtol=1e-4, atol=1e-5)
        ends = first.weight.abs().amax((1, 2, 3)), second.weight.abs().amax((0, 2, 3))
    alive = torch.arange(8) != 3
    torch.testing.assert_close(ends[0][alive], ends[1][alive])
    assert not first.weight[3].any() and torch.isfinite(second.weight).all()


@torch.no_grad()
def test_a_detector_is_equalized_and_stays_the_same() -> None:
    model = detector("retinanet-r18")
    FoldBn({}).adapt_model(model)
    weights = copy.deepcopy(model.state_dict())
    before = outputs(model)
    method = Equalize(OPTIONS["equalize"])
    method.prepare(model, batches_of(model))
    blocks = [Pair(f"backbone.layer{k}.{n}.conv1", f"backbone.layer{k}.{n}.conv2") for k in range(1, 5) for n in (0, 1)]
    heads = [Pair(f"bbox_head.{b}_convs.0.conv", f"bbox_head.retina_{b}") for b in ("cls", "reg")]
    assert sorted(method.pairs) == sorted(blocks + heads)
    assert (outputs(model) - before).abs().max() <= 1e-3 * before.abs().max()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, weights[name])}
    assert {f"{pair.first}.weight" for pair in method.pairs} <= changed
    assert "backbone.conv1.weight" not in changed
    facts = method.facts(model)
    assert facts["not a pair because of"]["add"] > 0 and 1 < facts["rounds"] <= 20


def test_where_there_is_no_pair_the_record_says_why() -> None:
    for name, why in (("yolox-nano", "mul and sigmoid"), ("ssdlite-mbv2", "relu6")):
        model = detector(name)
        FoldBn({}).adapt_model(model)
        method = Equalize(OPTIONS["equalize"])
        method.prepare(model, batches_of(model))
        facts = method.facts(model)
        assert facts["not a pair because of"][why] > 10 and len(facts["pairs"]) < 10, name


def quantized(methods: list[str], bits: str = "4/4", **options: Any) -> tuple[Any, MethodStack]:
    model = detector("retinanet-r18")
    uses = [VersionedMethod(name=n, version=1, options={**OPTIONS[n], **options.get(n, {})}) for n in methods]
    stack = MethodStack.of(uses)
    stack.adapt_model(model)
    batches = batches_of(model, 2)
    stack.prepare(model, batches)
    placement = trace_placement(model, drawn_batch(64), POLICY, Bits.parse(bits))
    apply(model, placement, stack.make_quantizers(placement))
    stack.calibrate(model, batches)
    return model, stack


@pytest.mark.parametrize("inputs", ["quantized", "fp"])
@torch.no_grad()
def test_corrected_biases_restore_the_means(inputs: str) -> None:
    plain = detector("retinanet-r18")
    methods = ["fold_bn", "uniform", "bias_correction"]
    model, stack = quantized(methods, bias_correction={"inputs": inputs})
    rough, _ = quantized(methods[:2])
    FoldBn({}).adapt_model(plain)
    names = list(quantized_layers(model))

    def of(net: Any) -> dict[str, Tensor]:
        found = {name: net.get_submodule(name) for name in names}
        for layer in found.values():
            layer.__dict__.setdefault("call", 0)
        return means(found, batches_of(net))

    wanted, corrected, before = of(plain), of(model), of(rough)

    def off(found: dict[str, Tensor]) -> float:
        return sum(float((found[name] - wanted[name]).abs().mean()) for name in names)

    assert off(corrected) < (1e-3 if inputs == "quantized" else 1.0) * off(before)
    told = stack.facts(model)["bias_correction"]["largest correction"]
    assert told.keys() == set(names) and max(told.values()) > 0


def test_a_correction_changes_nothing_at_high_precision() -> None:
    _, stack = quantized(["fold_bn", "uniform", "bias_correction"], bits="16/16")
    told = stack.facts(nn.Module())["bias_correction"]["largest correction"]
    inner = [shift for name, shift in told.items() if "conv1" not in name[-5:] and "retina" not in name]
    assert max(inner) < 0.1


def test_bias_correction_adds_the_biases_that_are_missing() -> None:
    model = detector("retinanet-r18")
    assert model.backbone.conv1.bias is None
    BiasCorrection(OPTIONS["bias_correction"]).adapt_model(model)
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))
