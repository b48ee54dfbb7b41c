"""The quantized convolution as one node against the composition of its parts, and what it holds between the passes."""

import copy
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from saved_tensors import saved_bytes
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.calibration.observers import make_observer
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.lsq import LSQ
from bench.quantization import kernels
from bench.quantization.apply import apply
from bench.quantization.conv import QuantConv2d
from bench.quantization.layer import Held
from bench.quantization.lsq import LsqQuantizer
from bench.quantization.quantizer import Quantizer
from bench.quantization.tqt import TqtQuantizer
from bench.quantization.uniform import UniformQuantizer
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.options.observer import Observer

MINMAX = Observer(kind="minmax")
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "strided": {"stride": 2, "padding": 1, "bias": False},
    "grouped": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 8, "padding": 2, "dilation": 2},
}


class Sine(Quantizer):
    """A user's own: any differentiable code, with a parameter of its own."""

    def __init__(self, bits: int, signed: bool) -> None:
        super().__init__(bits, signed)
        self.step = nn.Parameter(torch.tensor(0.1))

    def quantize(self, x: Tensor) -> Tensor:
        return x + self.step * torch.sin(x / self.step)


def quantizer(kind: str, bits: int, signed: bool, batched: bool) -> Quantizer:
    made: Quantizer
    observer = make_observer(MINMAX, bits, signed)
    if kind.startswith("lsq"):
        made = LsqQuantizer(bits, signed, observer, kind[4:], "batch", batched)  # type: ignore[arg-type]
    else:
        made = {"tqt": TqtQuantizer, "uniform": UniformQuantizer}.get(kind, lambda b, s, _: Sine(b, s))(
            bits, signed, observer
        )
    with torch.no_grad():
        for held in (*made.parameters(), *made.buffers()):
            held.fill_(-1.2 if kind == "tqt" else 0.11)
    return made


def layer(kind: str, shape: dict[str, Any], inputs: int = 1) -> QuantConv2d:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, **shape).to(memory_format=torch.channels_last)
    weight = quantizer(kind, 4, True, False)
    return QuantConv2d(conv, Held(weight, tuple(quantizer(kind, 4, False, True) for _ in range(inputs))))


def images(requires_grad: bool = True) -> Tensor:
    x = torch.randn(3, 8, 9, 10, generator=torch.Generator().manual_seed(1)) + 0.4
    return x.to(memory_format=torch.channels_last).requires_grad_(requires_grad)


def composed(conv: QuantConv2d, x: Tensor) -> Tensor:
    q, weight = conv.held.inputs[0](x), conv.held.weight(conv.weight)
    return conv2d(q, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)  # type: ignore[arg-type]


def leaves(conv: QuantConv2d, x: Tensor) -> list[Tensor]:
    own = [*conv.parameters(), *conv.held.weight.parameters(), *conv.held.inputs[0].parameters()]
    return [*own, x] if x.requires_grad else own


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["lsq-paper", "lsq-mqbench", "tqt", "uniform"])
@pytest.mark.parametrize("path", ["numba", "eager"])
def test_one_node_is_the_composition(kind: str, shape: str, path: Any) -> None:
    """To the bit: it computes the same operations, some of them twice."""
    conv, x = layer(kind, SHAPES[shape]), images()
    with kernels.using(path):
        ours = conv(x)
        assert type(ours.grad_fn).__name__ == "_ConvBackward"
        out = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
        found = torch.autograd.grad(ours, leaves(conv, x), out)
        theirs = composed(conv, x)
        expected = torch.autograd.grad(theirs, leaves(conv, x), out)
    assert torch.equal(ours, theirs)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(found) == (3 if conv.bias is not None else 2) + (0 if kind == "uniform" else 2)


@pytest.mark.parametrize("kind", ["lsq-paper", "lsq-mqbench", "tqt"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_step_of_an_image(kind: str, shape: str) -> None:
    """An input without gradient: its step's comes from a forward convolution, and is the same sum in another order."""
    conv, x = layer(kind, SHAPES[shape]), images(requires_grad=False)
    x[0, 0, 0, :2] = torch.tensor([float("inf"), -float("inf")])
    ours, exact = conv(x), copy.deepcopy(conv).double()
    out = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad(ours, leaves(conv, x), out)
    expected = torch.autograd.grad(composed(conv, x), leaves(conv, x), out)
    assert all(torch.equal(a, b) for a, b in zip(found[:-1], expected[:-1], strict=True))
    # Terms of both signs cancel: the bound is on their absolute sum.
    (of_q,) = torch.autograd.grad(composed(exact, q := x.double().requires_grad_()), q, out.double())
    bound = 1e-5 * float(of_q.abs().sum()) * 15 * conv.held.inputs[0].grid(x)[1].grad_scale
    assert abs(float(found[-1]) - float(expected[-1])) <= bound and float(expected[-1]) != 0


@pytest.mark.parametrize("kind", ["lsq-paper", "lsq-mqbench", "tqt"])
def test_second_derivatives_are_those_of_the_composition(kind: str) -> None:
    conv, x = layer(kind, SHAPES["grouped"]).double(), images().double().detach().requires_grad_()
    for held in (conv.held.weight, *conv.held.inputs):
        held.double()

    def second(y: Tensor) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(y.square().sum(), leaves(conv, x), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves(conv, x))  # type: ignore[arg-type]

    for ours, theirs in zip(second(conv(x)), second(composed(conv, x)), strict=True):
        conv.start_pass()
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_users_own_quantizer_is_left_to_autograd() -> None:
    conv, x = layer("sine", {}), images()
    y = conv(x)
    assert type(y.grad_fn).__name__ != "_ConvBackward"
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(y.sum(), leaves(conv, x)))


def test_whatever_else_a_quantizer_does_is_done() -> None:
    """A hook, a mode or a subclass's own forward: the one node would leave it out."""
    conv, x = layer("lsq-mqbench", {}), images()
    seen: list[Tensor] = []
    conv.held.inputs[0].register_forward_hook(lambda *_: seen.append(x))
    with torch.no_grad():
        quantized = conv(x)
    assert seen
    conv = layer("lsq-mqbench", {})
    conv.held.weight.mode, conv.held.inputs[0].mode = "off", "observe"
    y = conv(x)
    assert torch.equal(y, conv2d(x, conv.weight, conv.bias)) and not torch.equal(y, quantized)
    conv.held.inputs[0].initialise()
    assert 0 < conv.held.inputs[0].step.item() < 1


def test_a_shared_weight_sums_its_levels() -> None:
    """Three calls in one pass, each with its own input quantizer, in both ways; a pass starts anew after a failure."""
    for kind in ("lsq-mqbench", "sine"):
        conv, x = layer(kind, {"padding": 1}, inputs=3), images()
        conv(x)
        conv.start_pass()
        y = sum(conv(x) for _ in range(3))
        assert conv.call == 0
        conv.end_pass()
        found = torch.autograd.grad(
            y, [conv.weight, conv.held.weight.step, conv.held.inputs[2].step], torch.ones_like(y)
        )
        alone = composed(conv, x)
        one = torch.autograd.grad(alone, [conv.weight, conv.held.weight.step], torch.ones_like(y))
        for together, single in zip(found, one, strict=False):
            torch.testing.assert_close(together, 3 * single, rtol=1e-5, atol=1e-4)


def counted(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> list[str]:
    """The names of the kernels that run on x from now on."""
    done: list[str] = []
    passes = kernels.choose(x, torch.ones(()))
    for name in ("forward", "backward"):
        plain = getattr(passes, name)

        def told(of: Tensor, *args: Any, plain: Any = plain, name: str = name) -> Any:
            done.extend([name] * (of.data_ptr() == x.data_ptr()))
            return plain(of, *args)

        monkeypatch.setattr(passes, name, told)
    return done


def test_a_tensor_that_two_layers_read_is_quantized_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once more in the backward, whatever is derived first; with equal bits, and anew when either changes."""
    x, both = images(), [layer("lsq-mqbench", {}), layer("lsq-mqbench", {"padding": 1})]
    shared = both[0].held.inputs[0]
    both[1].hold(Held(both[1].held.weight, (shared,)))
    assert isinstance(shared, Quantizer)
    needed = [x, shared.step, *(conv.weight for conv in both)]

    def grads(readers: int) -> tuple[Tensor, ...]:
        shared.readers = readers
        total = sum(conv(x).square().sum() for conv in both)
        return torch.autograd.grad(total, needed)  # type: ignore[arg-type]

    alone = grads(1)
    done = counted(monkeypatch, x)
    together = grads(2)
    assert done == ["forward", "forward", "backward", "backward"]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    y = both[0](x)  # a pass that breaks off
    with torch.no_grad():
        shared.step.mul_(2)
    assert torch.equal(both[0](x), composed(both[0], x)) and not torch.equal(both[0](x), y)
    with torch.no_grad():
        x.mul_(-1)
    assert torch.equal(both[1](x), composed(both[1], x))


def test_a_shared_weight_is_quantized_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew when the weight or its step changes, when gradients are recorded that were not, and in the next pass."""
    conv, x = layer("lsq-mqbench", {"padding": 1}, inputs=4), images()
    step = conv.held.weight.step

    def now() -> Tensor:
        return composed(conv, x)

    conv.start_pass()
    with torch.no_grad():
        first = conv(x)
    recorded = conv(x)
    assert torch.equal(first, recorded)
    found = torch.autograd.grad(recorded.sum(), [conv.weight, step])
    assert all(grad.abs().sum() > 0 for grad in found)
    with torch.no_grad():
        conv.weight.mul_(-1)
        assert torch.equal(conv(x), now()) and not torch.equal(now(), first)
        before = now()
        step.mul_(2)
        assert torch.equal(conv(x), now()) and not torch.equal(now(), before)
    conv.end_pass()
    # A whole pass quantizes it once, and its backward once more.
    done = counted(monkeypatch, conv.weight)
    for number in (1, 2):
        conv.start_pass()
        y = sum(conv(x) for _ in range(4))
        conv.end_pass()
        torch.autograd.grad(y.sum(), [conv.weight, step])  # type: ignore[union-attr]
        assert done == ["forward", "forward", "backward"] * number


@pytest.mark.parametrize(("readers", "bar"), [("layers", 1.01), ("all", 1.2)])
def test_quantization_holds_hardly_more_than_fp(readers: str, bar: float) -> None:
    """With `all` also the quantized values that operations read: a convolution alone makes its own anew."""
    table = load_suite(SUITE, PROJECT).suite
    plain = build_detector("retinanet-r18", table.tiers["smoke"].detectors["retinanet-r18"], ("a", "b"), 0)
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    quantized = copy.deepcopy(plain)
    policy = table.policies["hqod"].model_copy(update={"readers": readers})
    placement = trace_placement(quantized, empty_batch(64, 64), policy, Bits.parse("4/4"))
    method = LSQ(table.row("lsq-w4a4").methods[0].options)
    apply(quantized, placement, method.make_quantizers(placement))
    # The image, which FP keeps for the first convolution's weight, is the same tensor here.
    assert saved_bytes(quantized, x) <= bar * saved_bytes(plain, x)
