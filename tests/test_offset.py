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
from bench.quantization.uniform import OffsetQuantizer, UniformQuantizer
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
