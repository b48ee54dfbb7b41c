"""Reconstruction: AdaRound against enumeration, blocks, dropped quantization, and what is left afterwards."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.calibration.calibrate import calibrate
from bench.calibration.capture import capture, full_precision
from bench.calibration.reconstruct import reconstruct
from bench.calibration.rounding import Rounding
from bench.calibration.units import find_units
from bench.errors import BenchError
from bench.methods.reconstruction import _first
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.placement import place, quantizable
from bench.quantization.quantizer import Quantizer
from bench.quantization.trace import record_reads
from bench.schema.base import parse
from bench.schema.bits import Bits
from bench.schema.options.calibration import ReconstructionOptions
from bench.schema.placement import Policy

SCHEDULE = {
    "iterations": 120, "batch": 8, "images": 64, "lr": 0.05, "inputs": "quantized", "stretch": [1.1, -0.1],
    "regulariser": 0.01, "beta": [20.0, 2.0], "warmup": 0.2,
}  # fmt: skip
Forwards = list[Callable[[], Any]]


def options(**changes: Any) -> ReconstructionOptions:
    return parse(ReconstructionOptions, SCHEDULE | changes)


class Residual(nn.Module):
    """Two convolutions and an addition, the ReLUs in place, as a ResNet has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn(self.conv1(x)))
        y = self.conv2(y)
        y += x
        return self.relu(y)


class Toy(nn.Module):
    """A stem, two residual blocks, and a head that two levels share."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(Residual(width), Residual(width))
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.blocks(self.stem(x).relu_())
        return [self.head(x), self.head(nn.functional.max_pool2d(x, 2))]


def quantized(
    model: nn.Module, batches: list[Tensor], readers: str = "layers", granularity: str = "channel", **policy: Any
) -> Forwards:
    """Put calibrated quantizers of 3 bits into `model`; the passes over `batches`."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    declared = {"layers": ["conv", "linear"], "first": [names[0]], "last": [names[-1]], "edge_bits": 3}
    written = {"parts": ["", *{name.split(".")[0] for name in names}], "unsigned_after": ["relu"], "readers": readers}
    chosen = parse(Policy, declared | written | policy)
    forwards: Forwards = [lambda x=x: model(x) for x in batches]
    model.eval()
    placement = place(model, record_reads(model, quantizable(model, chosen), forwards[0]), chosen, Bits(3, 3))
    observer = {"kind": "mse", "p": 2.4}
    method = Uniform({"weights": observer, "activations": {"kind": "minmax"}, "granularity": granularity})
    apply(model, placement, method.make_quantizers(placement))
    calibrate(model, forwards)
    return forwards


def images(count: int = 32, size: int = 8, seed: int = 0) -> list[Tensor]:
    x = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return list(x.split(8))


def toy(seed: int = 0, readers: str = "layers") -> tuple[Toy, Forwards]:
    torch.manual_seed(seed)
    model = Toy()
    return model, quantized(model, images(), readers)


def on_grid(model: nn.Module) -> bool:
    layers = quantized_layers(model).values()
    return all(torch.equal(layer.held.weight(layer.weight), layer.weight) for layer in layers)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


class Line(nn.Module):
    """One linear layer of eight weights; its inputs are positive, so not independent."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(8, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.only(x)
        return y


def line(seed: int) -> tuple[Line, Forwards, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = Line()
    x = torch.randn(64, 8, generator=generator).abs()
    return model, quantized(model, [x], bits={"only": "3/32"}), x


def test_adaround_finds_what_enumeration_finds() -> None:
    """Eight weights, each down or up: 256 roundings. The relaxation is no exact solver, so that most seeds count; but
    in no seed is it worse than rounding to nearest. In about half of them nearest is not the best."""
    best = to_gain = 0
    for seed in range(10):
        model, forwards, x = line(seed)
        w, step = model.only.weight.detach().clone(), model.only.held.weight.step.clone()
        target, floor = x @ w.T, (w / step).floor()
        codes = [(floor + torch.tensor(up)).clamp(-4, 3) for up in itertools.product((0.0, 1.0), repeat=8)]
        errors = [float((x @ (c * step).T - target).square().mean()) for c in codes]
        found = reconstruct(model, forwards, options(iterations=600, batch=64, lr=0.02, regulariser=0.003))["only"]
        nearest = float((x @ ((w / step).round().clamp(-4, 3) * step).T - target).square().mean())
        assert found.before == pytest.approx(nearest, rel=1e-4)
        assert found.after <= found.before * (1 + 1e-5)
        best += found.after <= min(errors) * (1 + 1e-4)
        to_gain += min(errors) < found.before * 0.9
    assert best >= 8 and to_gain >= 4, (best, to_gain)


@pytest.mark.parametrize("readers", ["layers", "all"])
@pytest.mark.parametrize("blocks", [(), ("blocks.[01]",)])
def test_every_unit_comes_nearer_and_weights_lie_on_the_grid(readers: str, blocks: tuple[str, ...]) -> None:
    model, forwards = toy(readers=readers)
    results = reconstruct(model, forwards, options(), blocks)
    expected = ["stem", "blocks.0", "blocks.1", "head"] if blocks else list(quantized_layers(model))
    assert list(results) == expected
    assert all(0 <= r.after < r.before and 0 < r.flipped < 0.5 for r in results.values()), results
    assert results["head"].calls == 2 and on_grid(model)


def test_the_outputs_come_nearer_on_other_images() -> None:
    model, forwards = toy()
    fp = copy.deepcopy(model)
    for module in fp.modules():
        if isinstance(module, Quantizer):
            module.mode = "off"
    fresh = torch.cat(images(seed=1))

    def error() -> float:
        return float(sum((a - b).square().mean() for a, b in zip(model(fresh), fp(fresh), strict=True)).detach())

    before = error()
    reconstruct(model, forwards, options(), ("blocks.[01]",), drop=0.5, step_lr=1e-3)
    assert error() < 0.9 * before


def test_rounding_starts_at_the_weight_and_ends_decided() -> None:
    model, _ = toy()
    layer = model.blocks[0].conv2
    weight = layer.weight.detach().clone()
    rounding = Rounding(layer.held.weight, weight, 1.1, -0.1)
    inside = (weight / rounding.step).clamp(-4, 3) * rounding.step
    assert torch.allclose(rounding(layer.held.weight, (), weight), inside, atol=1e-6)
    assert float(rounding.undecided(2.0).detach()) > 0
    optimizer = torch.optim.Adam([rounding.v], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        rounding.undecided(2.0).backward()
        optimizer.step()
    # Of a weight halfway between two codes the regulariser knows no direction; only the output's error has one.
    free = rounding.v.detach() != 0
    share = rounding.share().detach()[free]
    assert float(free.float().mean()) > 0.95 and bool(((share == 0) | (share == 1)).all())
    assert torch.equal(rounding(layer.held.weight, (), weight)[free].detach(), rounding.baked()[free])


def test_nothing_else_changes() -> None:
    model, forwards = toy()
    before, modes = state(model), [m.mode for m in model.modules() if isinstance(m, Quantizer)]
    trains = [p.requires_grad for p in model.parameters()]
    reconstruct(model, forwards, options(iterations=20), ("blocks.[01]",))
    changed = {name for name, value in state(model).items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.weight" for name in quantized_layers(model)}
    assert modes == [m.mode for m in model.modules() if isinstance(m, Quantizer)] == ["quantize"] * len(modes)
    assert trains == [p.requires_grad for p in model.parameters()]
    assert all(not q._forward_hooks and not q._forward_pre_hooks for q in model.modules() if isinstance(q, Quantizer))
    assert all(layer.call == 0 and layer.pass_of is None for layer in quantized_layers(model).values())


def test_steps_of_activations_are_learned_once() -> None:
    model, forwards = toy(readers="layers")
    before = state(model)
    reconstruct(model, forwards, options(iterations=50), ("blocks.[01]",), step_lr=1e-3)
    steps = {n for n, value in state(model).items() if n.endswith(".step") and not torch.equal(value, before[n])}
    weights = {f"quantizers.{name.replace('.', '/')}/weight.step" for name in quantized_layers(model)}
    assert steps and not steps & weights
    assert all(float(value) > 0 for name, value in state(model).items() if name in steps)


def test_no_drop_is_brecq_and_a_drop_is_not() -> None:
    found = {}
    for drop in (0.0, 0.5, None):
        model, forwards = toy()
        torch.manual_seed(7)
        if drop is None:
            reconstruct(model, forwards, options(iterations=30), ("blocks.[01]",), step_lr=1e-3)
        else:
            reconstruct(model, forwards, options(iterations=30), ("blocks.[01]",), drop, 1e-3)
        found[drop] = state(model)
    assert all(torch.equal(found[0.0][name], value) for name, value in found[None].items())
    assert any(not torch.equal(found[0.5][name], value) for name, value in found[None].items())


def test_everything_dropped_is_reconstruction_with_fp_activations() -> None:
    """At drop 1 the unit sees full precision alone: as if no activation were quantized."""
    (dropped, forwards), (plain, others) = toy(), toy()
    torch.manual_seed(3)
    reconstruct(dropped, forwards, options(iterations=60, batch=64), drop=1.0)
    for layer in quantized_layers(plain).values():
        for quantizer in layer.held.inputs:
            quantizer.mode = "off"
    torch.manual_seed(3)
    reconstruct(plain, others, options(iterations=60, batch=64, inputs="fp"))
    same = [
        torch.equal(a.weight, b.weight)
        for a, b in zip(quantized_layers(dropped).values(), quantized_layers(plain).values(), strict=True)
    ]
    assert all(same)


def test_two_runs_are_bit_equal() -> None:
    found = []
    for _ in range(2):
        model, forwards = toy()
        torch.manual_seed(11)
        results = reconstruct(model, forwards, options(iterations=40), ("blocks.[01]",), 0.5, 1e-3)
        found.append((results, state(model)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())


def test_a_saved_state_holds_the_result() -> None:
    """As a checkpoint does: weights on their grids, and the step sizes."""
    model, forwards = toy()
    reconstruct(model, forwards, options(iterations=20), ("blocks.[01]",), 0.5, 1e-3)
    other, _ = toy(seed=1)
    other.load_state_dict(model.state_dict())
    x = images(seed=2)[0]
    assert all(torch.equal(a, b) for a, b in zip(model(x), other(x), strict=True)) and on_grid(other)


def test_full_precision_gives_the_original_outputs_after_baking() -> None:
    torch.manual_seed(0)
    model = Toy().eval()
    x = images()[0]
    expected = [y.detach().clone() for y in model(x)]
    forwards = quantized(model, images())
    originals = {layer: layer.weight.detach().clone() for layer in quantized_layers(model).values()}
    reconstruct(model, forwards, options(iterations=5))
    with full_precision(model, originals):
        assert all(torch.equal(a, b) for a, b in zip(model(x), expected, strict=True))
    assert on_grid(model)


def test_a_captured_unit_gives_its_output_again() -> None:
    """Also behind operations that write in place, and at every level of a shared layer."""
    model, forwards = toy(readers="all")
    for unit in find_units(model, ("blocks.[01]",), forwards[0]):
        seen = capture(unit, forwards)
        assert len(seen) == 32
        for layer in unit.layers.values():
            layer.start_pass("test")
        with torch.no_grad():
            for x, y in zip(seen[3].inputs, seen[3].outputs, strict=True):
                assert torch.allclose(unit.module(x), y, atol=1e-6), unit.name


@pytest.mark.parametrize("case", ["one image", "dead channel", "zero weight", "constant images"])
def test_degenerate_cases_are_defined(case: str) -> None:
    torch.manual_seed(0)
    model, batches = Toy(), images()
    if case == "one image":
        batches = [batches[0][:1]]
    elif case == "constant images":
        batches = [torch.ones_like(batches[0])]
    elif case == "dead channel":
        model.stem.weight.data[2] = 0.0
        model.stem.bias.data[2] = -1.0
    else:
        model.blocks[0].conv2.weight.data.zero_()
    forwards = quantized(model, batches)
    results = reconstruct(model, forwards, options(iterations=30), ("blocks.[01]",), 0.5, 1e-3)
    assert all(map(torch.isfinite, torch.tensor([[r.before, r.after, r.flipped] for r in results.values()]).flatten()))
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values()) and on_grid(model)
    if case == "zero weight":
        assert not model.blocks[0].conv2.weight.any()


def test_images_of_two_sizes_go_through_apart() -> None:
    torch.manual_seed(0)
    model = Toy()
    forwards = quantized(model, [images(4, 8)[0], images(4, 12)[0]])
    results = reconstruct(model, forwards, options(batch=8))
    assert all(r.after < r.before for r in results.values()) and on_grid(model)


def test_no_more_batches_are_kept_than_declared_images_need() -> None:
    class Counted:
        def __init__(self) -> None:
            self.samples = range(8)

    taken = [_first([Counted() for _ in range(5)], images) for images in (1, 8, 9, 1000)]  # type: ignore[arg-type]
    assert [len(batches) for batches in taken] == [1, 1, 2, 5]


@pytest.mark.parametrize(
    ("blocks", "fault"),
    [
        (("neck.*",), "fits no module with quantized layers"),
        (("pair",), "more than one tensor"),
        (("part",), "also called outside of it"),
    ],
)
def test_blocks_that_cannot_be_run_alone_are_refused(blocks: tuple[str, ...], fault: str) -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.conv(x) + y

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()
            self.part = nn.Sequential(nn.Conv2d(3, 3, 1))

        def forward(self, x: Tensor) -> Tensor:
            y = self.part(self.pair(x, x))
            return self.part[0](y)

    model = Odd()
    forwards = quantized(model, images(8))
    with pytest.raises(BenchError, match=fault):
        reconstruct(model, forwards, options(iterations=1), blocks)
