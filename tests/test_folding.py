"""BatchNorm folded into convolutions before placement, and weights that are functions of other parameters."""

import copy
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from detector_scales import drawn_batch, losses
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrizations import weight_norm

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.attention import explicit_attention
from bench.quantization.conv import QuantConv2d
from bench.quantization.linear import QuantLinear
from bench.quantization.placement import place
from bench.quantization.trace import record_reads
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.placement import Policy

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

TABLE = load_suite(SUITE, PROJECT).suite
LSQ_OPTIONS = TABLE.row("lsq-w4a4").methods[0].options
OBSERVERS = {name: LSQ_OPTIONS[name] for name in ("weights", "activations")}


def pairs(model: Any) -> list[tuple[nn.Module, str, str]]:
    """The backbone's convolutions, each with the norm behind it: parent and the two names."""
    found = []
    for module in model.backbone.modules():
        names = [("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")]
        found += [(module, c, n) for c, n in names if isinstance(getattr(module, n, None), nn.BatchNorm2d)]
    return found


class Folded(Uniform):
    """PTQ as it is deployed: the norms are gone before quantizers are placed."""

    def adapt_model(self, model: Any) -> None:
        for parent, name, norm in pairs(model):
            conv, bn = getattr(parent, name), getattr(parent, norm)
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
            )
            setattr(parent, norm, nn.Identity())


class Scaled(nn.Module):
    """The weight times the norm's gain over its deviation: what folding would make, the gain still trained."""

    def __init__(self, bn: nn.BatchNorm2d) -> None:
        super().__init__()
        self.gain = nn.Parameter(bn.weight.detach().clone())
        self.register_buffer("deviation", (bn.running_var + bn.eps).sqrt())  # type: ignore[operator]

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.gain / self.deviation).view(-1, 1, 1, 1)


class FoldedTraining(LSQ):
    """QAT with the first block's convolution and its norm as one."""

    def adapt_model(self, model: Any) -> None:
        block = model.backbone.layer1[0]
        parametrize.register_parametrization(block.conv1, "weight", Scaled(block.bn1))
        block.bn1 = nn.Identity()


def detector() -> Any:
    model: Any = build_detector("retinanet-r18", TABLE.tiers["smoke"].detectors["retinanet-r18"], ("a", "b"), 0)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
            for values in (module.bias.data, module.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator) * 0.1)
    return model.eval()


def quantized(model: Any, method: Any, bits: str) -> Any:
    method.adapt_model(model)
    placement = trace_placement(model, drawn_batch(64), TABLE.policies["hqod"], Bits.parse(bits))
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, Batches(model, [drawn_batch(64)]))
    return model, placement


@torch.no_grad()
def features(model: Any) -> Tensor:
    data = model.data_preprocessor(drawn_batch(64), False)
    return torch.cat([f.flatten() for f in model.eval().backbone(data["inputs"])])


def test_a_folded_model_is_the_same_one_and_is_quantized() -> None:
    plain, folded = detector(), detector()
    Folded(OBSERVERS).adapt_model(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.backbone.modules())
    expected = features(plain)
    torch.testing.assert_close(features(folded), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    model, placement = quantized(detector(), Folded(OBSERVERS), "8/8")
    assert placement.pins(8).weights == 38
    assert all(layer.bias is not None for layer in quantized_layers(model.backbone).values())
    error = (features(model) - expected).norm() / expected.norm()
    assert 0 < error < 0.1
    predicted = model.test_step(drawn_batch(64))
    assert all(torch.isfinite(sample.pred_instances.scores).all() for sample in predicted)


def test_what_is_quantized_is_what_the_parametrization_makes() -> None:
    model, placement = quantized(detector(), FoldedTraining(LSQ_OPTIONS), "4/4")
    layer = model.backbone.layer1[0].conv1
    assert isinstance(layer, QuantConv2d) and parametrize.is_parametrized(layer, "weight")
    name = "backbone.layer1.0.conv1.parametrizations.weight"
    assert f"{name}.original" not in placement.fp and f"{name}.0.gain" in placement.fp
    made = layer.parametrizations.weight[0](layer.parametrizations.weight.original)
    assert torch.equal(layer.weight, made)
    step = layer.held.weight.step.detach()
    assert float(step) == pytest.approx(float(made.detach().abs().max()) / 7.5, rel=1e-5)
    losses(model.train(), drawn_batch(64)).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    after = dict(model.named_parameters())
    for trained in (f"{name}.original", f"{name}.0.gain", "quantizers.backbone/layer1/0/conv1/weight.step"):
        assert after[trained].grad is not None and after[trained].grad.any(), trained
    other, _ = quantized(detector(), FoldedTraining(LSQ_OPTIONS), "4/4")
    other.load_state_dict(model.state_dict())
    assert torch.equal(features(other), features(model))
    copied = copy.deepcopy(model)
    assert torch.equal(features(copied), features(model))
    with torch.no_grad():
        copied.backbone.layer1[0].conv1.parametrizations.weight[0].gain.mul_(2)
    assert not torch.equal(features(copied), features(model))


class _Net(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


def applied(layer: nn.Module, x: Tensor, bits: str = "4/4") -> _Net:
    net, kinds = _Net(layer), ("conv", "linear")
    policy = Policy(layers=kinds, first=("layer",), last=("layer",), parts=("layer",), edge_bits=4)
    placement = place(net, record_reads(net, ["layer"], lambda: net(x)), policy, Bits.parse(bits))
    method = LSQ({**LSQ_OPTIONS, "weights": {"kind": "minmax"}, "activations": {"kind": "minmax"}})
    apply(net, placement, method.make_quantizers(placement))
    method.calibrate(net, [lambda: net(x)])
    return net


@pytest.mark.parametrize("bits", ["4/4", "4/32", "32/4"])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_weight_norm_stays(kind: str, bits: str) -> None:
    layer: nn.Module = nn.Conv2d(3, 4, 3) if kind == "conv" else nn.Linear(3, 4)
    x = torch.randn(2, 3, 5, 5) if kind == "conv" else torch.randn(2, 3)
    weight_norm(layer)
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(3)  # type: ignore[union-attr, operator]
    expected = layer.weight.detach().clone()
    net = applied(layer, x, bits)
    assert isinstance(net.layer, QuantConv2d if kind == "conv" else QuantLinear)
    assert torch.equal(net.layer.weight, expected)
    net(x).square().sum().backward()
    originals = [p for n, p in net.named_parameters() if "original" in n]
    assert len(originals) == 2 and all(p.grad is not None and p.grad.any() for p in originals)


def test_what_cannot_be_kept_is_refused_by_name() -> None:
    conv = nn.Conv2d(3, 4, 3)
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(conv)  # by a hook, which would be lost
    with pytest.raises(BenchError, match="layer: its weight is no parameter"):
        applied(conv, torch.randn(1, 3, 5, 5))
    with pytest.raises(BenchError, match="layer: padding mode 'circular' is not offered"):
        applied(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), torch.randn(1, 3, 5, 5))

    class Own(nn.Conv2d):
        pass

    with pytest.raises(BenchError, match="layer: a Own is neither a plain convolution nor a plain linear layer"):
        applied(Own(3, 4, 3), torch.randn(1, 3, 5, 5))
    for name in ("in_proj_weight", "out_proj.weight"):
        attention = nn.MultiheadAttention(8, 2)
        owner = attention.out_proj if "." in name else attention
        parametrize.register_parametrization(owner, name.rpartition(".")[2], nn.Identity())
        with pytest.raises(ValueError, match="attention with a parametrized weight"):
            explicit_attention(nn.Sequential(attention))
