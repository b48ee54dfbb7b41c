"""Quantizers with an offset: their equation, their gradients on every path, and where they stand in a detector."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.calibration.calibrate import calibrate, dead_sites
from bench.calibration.observers import make_observer
from bench.calibration.range_observer import RangeObserver
from bench.calibration.range_search import Codes, Scale
from bench.methods.uniform import Uniform
from bench.quantization import kernels
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.placement import place
from bench.quantization.trace import record_reads
from bench.quantization.uniform import ChannelOffsetQuantizer, OffsetQuantizer, UniformQuantizer
from bench.schema.bits import Bits
from bench.schema.options.observer import Observer
from bench.schema.placement import Policy

OPTIONS: dict[str, Any] = {"weights": {"kind": "minmax"}, "activations": {"kind": "minmax"}, "offset": "activations"}
POLICY = Policy(layers=("conv",), first=("a",), last=("c",), parts=("a", "b", "c"), unsigned_after=("relu",))


def quantizer(step: float, zero: int, bits: int = 4) -> OffsetQuantizer:
    made = OffsetQuantizer(bits)
    made.set_scale(Scale(step, zero))
    return made


@pytest.mark.parametrize("path", ["eager", "auto"])
@pytest.mark.parametrize("zero", [0, 3, 15])
def test_values_and_gradients_are_those_of_the_equation(path: Any, zero: int) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).mul_(3).requires_grad_()
    with kernels.using(path):
        y = quantizer(0.31, zero)(x)
        (grad,) = torch.autograd.grad(y.sum(), x)
    step = torch.tensor(0.31)
    code = torch.round(x.detach() / step) + zero
    assert torch.equal(y.detach(), (code.clamp(0, 15) - zero) * step)
    assert torch.equal(grad, ((code >= 0) & (code <= 15)).float())


def test_the_offset_is_read_again_after_every_way_of_writing_it() -> None:
    x = torch.linspace(-9, 9, 50)
    made, other = quantizer(0.5, 4), quantizer(0.5, 9)
    assert not torch.equal(made(x), other(x))
    copied = copy.deepcopy(made)
    made.load_state_dict(other.state_dict())
    assert torch.equal(made(x), other(x))
    copied.zero.fill_(9)
    assert torch.equal(copied(x), other(x)) and torch.equal(copy.deepcopy(copied)(x), other(x))
    fresh = OffsetQuantizer(4)
    fresh(x)
    fresh.set_scale(Scale(0.5, 9))
    assert torch.equal(copy.deepcopy(fresh)(x), other(x))


class Net(nn.Module):
    """b reads an unsigned tensor, c a SiLU's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.c(nn.functional.silu(self.b(torch.relu(self.a(x)))))
        return y


def placed(x: Tensor, **options: Any) -> Net:
    net, method = Net(), Uniform({**OPTIONS, **options})
    placement = place(net, record_reads(net, ["a", "b", "c"], lambda: net(x)), POLICY, Bits.parse("4/4"))
    apply(net, placement, method.make_quantizers(placement))
    calibrate(net, [lambda: net(x)])
    return net


def test_tensors_with_a_sign_have_an_offset() -> None:
    x = torch.randn(2, 3, 8, 8)
    net = placed(x)
    inputs = {name: layer.held.inputs[0] for name, layer in quantized_layers(net).items()}
    assert {name: type(q) for name, q in inputs.items()} == {
        "a": OffsetQuantizer, "b": UniformQuantizer, "c": OffsetQuantizer,
    }  # fmt: skip
    silu, net = inputs["c"], Net()
    assert isinstance(silu, OffsetQuantizer) and (silu.scheme, silu.symmetric) == ("uniform, asymmetric", False)
    read = nn.functional.silu(net.b(torch.relu(net.a(x)))).detach()
    expected = Codes.of(8, True, offset=True).scale(float(read.min()), float(read.max()))
    assert (float(silu.step), int(silu.zero)) == expected and 0 < expected.zero < 255


def test_a_tensor_that_is_negative_throughout_is_alive() -> None:
    x = -torch.rand(1, 3, 8, 8) - 0.1
    assert dead_sites(placed(x)) == ()
    assert "a.input" in dead_sites(placed(0 * x))


def test_an_offset_loses_less_of_a_silu() -> None:
    x = nn.functional.silu(3 * torch.randn(10_000, generator=torch.Generator().manual_seed(1)))
    spec, lost = Observer(kind="minmax"), []
    for made in (OffsetQuantizer(4, RangeObserver(spec, 4, True, offset=True)),
                 UniformQuantizer(4, True, make_observer(spec, 4, True))):  # fmt: skip
        made.observed.observe(x)
        made.initialise()
        lost.append(float((made(x) - x).norm()))
    assert lost[0] < 0.7 * lost[1]


class Depthwise(nn.Module):
    """`b` is depthwise and alone in reading a SiLU's result, `c` depthwise and alone in reading a ReLU's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, 4, 1)
        self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1, groups=4) for _ in range(2))
        self.d = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The channels of what `b` reads differ a hundredfold."""
        wide = self.a(x) * torch.tensor([0.05, 0.5, 1.0, 5.0]).view(1, 4, 1, 1)
        y: Tensor = self.d(nn.functional.silu(self.c(torch.relu(self.b(nn.functional.silu(wide))))))
        return y


def depthwise(x: Tensor, kind: str, **more: Any) -> dict[str, Any]:
    """The quantizers of inputs, by the layer."""
    net, method = Depthwise(), Uniform({**OPTIONS, "activations": {"kind": kind, **more}, "depthwise": "channel"})
    policy = Policy(layers=("conv",), first=("a",), last=("d",), parts=("[a-d]",), unsigned_after=("relu",))
    placement = place(net, record_reads(net, ["a", "b", "c", "d"], lambda: net(x)), policy, Bits.parse("8/8"))
    apply(net, placement, method.make_quantizers(placement))
    calibrate(net, [lambda: net(x[:1]), lambda: net(x[1:])])
    return {name: layer.held.inputs[0] for name, layer in quantized_layers(net).items()}


@pytest.mark.parametrize("kind", ["minmax", "mean_minmax", "lp", "entropy"])
def test_a_tensor_that_depthwise_convolutions_alone_read_has_a_range_for_each_channel(kind: str) -> None:
    more = {"lp": {"p": 2.0, "candidates": 100}, "entropy": {"bins": 512}}.get(kind, {})
    x = torch.randn(4, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    own = depthwise(x, kind, **more)
    assert {name: type(q) for name, q in own.items()} == {
        "a": OffsetQuantizer, "b": ChannelOffsetQuantizer, "c": UniformQuantizer, "d": OffsetQuantizer,
    }  # fmt: skip
    silu, relu = own["b"], own["c"]
    assert silu.granularity == relu.granularity == "channel" and silu.scheme == "uniform, asymmetric"
    net = Depthwise()
    read = nn.functional.silu(net.a(x) * torch.tensor([0.05, 0.5, 1.0, 5.0]).view(1, 4, 1, 1)).detach()
    other = relu(torch.relu(net.b(read)).detach())
    for k in range(4):
        spec = Observer.model_validate({"kind": kind, **more})
        alone = RangeObserver(spec, 8, True, offset=True, half=13)
        alone.observe(read[:1, k])
        alone.observe(read[1:, k])
        scale = alone.scale()
        assert (float(silu.step[0, k]), int(silu.zero[k])) == scale
        code = torch.round(read[:, k] / scale.step) + scale.zero
        expected = (code.clamp(0, 255) - scale.zero) * scale.step
        # PyTorch multiplies by 1 / step: next to a tie the code may be the neighbour.
        assert (silu(read)[:, k] - expected).abs().max() <= 1.001 * scale.step
        assert torch.isclose(silu(read)[:, k], expected, atol=1e-6).float().mean() > 0.999
        assert other[:, k].unique().numel() > 50
    assert float(silu.step.max() / silu.step.min()) > 20


def test_each_channel_keeps_its_own_values() -> None:
    x = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    silu = depthwise(x, "minmax")["b"]
    read = nn.functional.silu(Depthwise().a(x) * torch.tensor([0.05, 0.5, 1.0, 5.0]).view(1, 4, 1, 1)).detach()
    tensor = OffsetQuantizer(8, RangeObserver(Observer(kind="minmax"), 8, True, offset=True))
    tensor.observed.observe(read)
    tensor.initialise()
    small = read[:, 0]
    lost = [float((q(read)[:, 0] - small).norm() / small.norm()) for q in (silu, tensor)]
    assert lost[0] < 0.01 < 0.1 < lost[1]


def test_a_channel_of_zeros_and_an_empty_batch_are_no_faults() -> None:
    x = torch.randn(2, 3, 8, 8)
    made = depthwise(x, "minmax")["b"]
    observer = make_observer(Observer(kind="minmax"), 8, True, (1, 4, 1, 1))
    observer.observe(torch.zeros(2, 4, 3, 3))
    assert torch.equal(observer.step(), torch.ones(1, 4, 1, 1))
    assert made(torch.zeros(0, 4, 8, 8)).shape == (0, 4, 8, 8) and made(torch.zeros(1, 4, 2, 2)).abs().max() == 0


def test_convolutions_that_add_channels_keep_one_range() -> None:
    net, x = Net(), torch.randn(1, 3, 8, 8)
    placement = place(net, record_reads(net, ["a", "b", "c"], lambda: net(x)), POLICY, Bits.parse("4/4"))
    assert not any(placement.depthwise(site) for site in placement.activations)
    made = Uniform({**OPTIONS, "depthwise": "channel"}).make_quantizers(placement)
    assert {q.granularity for q in made.values()} == {"tensor"}
