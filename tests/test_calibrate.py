"""Calibration on tensors that are zero, empty or not finite."""

import copy
import functools
from typing import Any

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate, dead_sites
from bench.calibration.observers import StepObserver, make_observer
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.methods.tqt import TQT, TqtFixed
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply
from bench.quantization.placement import Placement, place
from bench.quantization.quantizer import Quantizer
from bench.quantization.ranges import step_of_range
from bench.quantization.trace import record_reads
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.options.observer import Observer
from bench.schema.placement import Policy

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

OBSERVERS: list[dict[str, Any]] = [
    {"kind": "minmax"},
    {"kind": "ema_minmax", "ema": 0.9},
    {"kind": "mse", "p": 2.0},
    {"kind": "ema_mse", "p": 2.4, "ema": 0.9},
    {"kind": "lsq"},
    {"kind": "std", "stds": 3.0},
    {"kind": "percentile", "q": 99.0},
    {"kind": "pot_mode", "rounding": "activation", "exponents": 5},
]
POLICY = Policy(layers=("conv",), first=("a",), last=("c",), parts=("a", "b", "c"), unsigned_after=("relu",))
MODES = {"range_test": "mqbench", "grad_scale": "batch"}


class Net(nn.Module):
    """b reads an unsigned tensor, c a signed one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.c(self.b(torch.relu(self.a(x))))
        return y


def method(name: str, observer: dict[str, Any]) -> Any:
    both = {"weights": observer, "activations": observer}
    made = {"lsq": LSQ, "tqt": TQT, "uniform": Uniform, "tqt_fixed": TqtFixed}[name]
    more = {"lsq": MODES, "tqt_fixed": {"image": observer}}.get(name, {})
    return made({**both, **more})


def placed(net: nn.Module, x: Tensor, bits: str = "4/4") -> Placement:
    reads = record_reads(net, ["a", "b", "c"], lambda: net(x))
    return place(net, reads, POLICY, Bits.parse(bits))


def quantized(name: str, observer: dict[str, Any], x: Tensor, net: nn.Module) -> Any:
    maker = method(name, observer)
    placement = placed(net, x)
    apply(net, placement, maker.make_quantizers(placement))
    maker.calibrate(net, [lambda: net(x)] * 2)
    return net


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda o: o["kind"])
@pytest.mark.parametrize("name", ["lsq", "tqt", "uniform", "tqt_fixed"])
def test_a_dead_tensor_gets_step_one_and_is_named(name: str, observer: dict[str, Any]) -> None:
    net = Net()
    with torch.no_grad():
        net.a.bias.fill_(-100.0)
        net.b.bias.zero_()
        net.c.weight.zero_()
    model = quantized(name, observer, torch.randn(2, 3, 8, 8), net)
    assert dead_sites(model) == ("c.weight", "b.input", "c.input")
    dead = [model.quantizers[n] for n in ("b/input", "c/input", "c/weight")]
    assert [float(q.step) for q in dead] == [1.0, 1.0, 1.0]
    assert [q.signed for q in dead] == [False, True, True]
    assert 0 < float(model.quantizers["a/input"].step) < 1 and float(model.quantizers["b/weight"].step) < 1


@pytest.mark.parametrize("name", ["lsq", "tqt"])
def test_what_was_dead_comes_alive(name: str) -> None:
    """As in training, where weights move on: the layer before the dead tensor gets gradients, and the loss falls."""
    net = Net()
    with torch.no_grad():
        net.a.bias.fill_(-3.0)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    model = quantized(name, {"kind": "minmax"}, x, net)
    assert dead_sites(model) == ("b.input",)
    with torch.no_grad():
        net.a.bias.fill_(0.7)
    loss = torch.tensor(0.0)
    first = None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(60):
        loss = (model(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        first = first if first is not None else (float(loss.detach()), float(model.a.weight.grad.abs().sum()))
        optimizer.step()
    assert first is not None and first[1] > 0 and float(loss.detach()) < 0.5 * first[0]


def test_a_dead_channel_of_a_weight_gets_step_one() -> None:
    weight = torch.randn(3, 2, 1, 1)
    weight[1] = 0
    for signed in (True, False):
        observer = make_observer(Observer(kind="mse", p=2.0), 4, signed, (3, 1, 1, 1))
        observer.observe(weight.abs())
        steps = observer.step().flatten()
        assert float(steps[1]) == 1.0 and (steps[[0, 2]] < 1).all()


def test_vp_qods_formula() -> None:
    """Unsigned: torch.where(scale > eps, scale, ones). Signed: max(scale, eps), but for nothing at all. NaN stays."""
    high = torch.tensor([0.0, 1e-7, 1e-6, 3e-6, 15.0, float("nan")])
    steps, eps = step_of_range(torch.zeros(6), high, 0, 15, False), 2**-23
    assert torch.equal(steps[:5], torch.where(high / 15 > eps, high / 15, 1.0)[:5]) and steps[5].isnan()
    steps = step_of_range(-high, torch.zeros(6), -8, 7, True)
    assert torch.equal(steps[1:5], (high / 7.5).clamp_min(eps)[1:5]) and steps[0] == 1 and steps[5].isnan()


def test_next_to_nothing_without_sign_is_dead() -> None:
    net = Net()
    with torch.no_grad():
        net.a.weight.zero_()
        net.a.bias.fill_(1e-7)
        net.b.weight.fill_(1e-3)
        net.b.bias.zero_()
    model = quantized("lsq", {"kind": "minmax"}, torch.randn(2, 3, 8, 8), net)
    assert dead_sites(model) == ("a.weight", "b.input")
    steps = [float(model.quantizers[n].step) for n in ("b/input", "c/input")]
    assert steps == [1.0, 2**-23], "a signed range as narrow keeps the smallest step, as in VP-QOD"


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda o: o["kind"])
@pytest.mark.parametrize("shape", [(), (1, 4, 1, 1)], ids=["tensor", "channel"])
def test_an_empty_tensor_says_nothing(observer: dict[str, Any], shape: tuple[int, ...]) -> None:
    spec, empty, x = Observer(**observer), torch.zeros(0, 4, 7, 7), torch.rand(2, 4, 3, 3)
    never, late, plain = (make_observer(spec, 4, False, shape) for _ in range(3))
    never.observe(empty)
    assert bool((never.step() == 1).all()) and bool((never.threshold() == 16).all())
    for seen in (empty, x, empty):
        late.observe(seen)
    plain.observe(x)
    assert torch.equal(late.step(), plain.step()) and torch.equal(late.threshold(), plain.threshold())


@pytest.mark.parametrize("name", ["lsq", "tqt", "uniform", "tqt_fixed"])
@pytest.mark.parametrize("scale", ["batch", "feature", "none"])
def test_a_pass_of_nothing(name: str, scale: str) -> None:
    net = Net()
    model = quantized(name, {"kind": "minmax"}, torch.randn(2, 3, 8, 8), net).train()
    for quantizer in model.quantizers.values():
        quantizer.grad_scale = scale
    x = torch.zeros(0, 3, 8, 8, requires_grad=True)
    y = model(x)
    y.sum().backward()
    assert y.shape == (0, 4, 8, 8) and x.grad is not None
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    empty = quantized(name, {"kind": "minmax"}, torch.zeros(0, 3, 8, 8), Net())
    assert dead_sites(empty) == ("a.input", "b.input", "c.input")


def starved(model: Any) -> Any:
    """Its RPN proposes nothing."""
    for config in (model.test_cfg.rpn, model.train_cfg.rpn_proposal, model.rpn_head.test_cfg):
        config["min_bbox_size"] = 1e6
    return model


def test_faster_rcnn_without_proposals_trains_and_predicts_as_fp_does() -> None:
    suite = load_suite("detectors/quantized", PROJECT).suite
    row = suite.row("faster-rcnn-r50-lsq-w4a4")
    fp: Any = build_detector("faster-rcnn-r50", suite.tiers["smoke"].detectors["faster-rcnn-r50"], ("a", "b"), 0)
    model, maker = copy.deepcopy(fp), LSQ(row.methods[0].options)
    placement = trace_placement(model, drawn_batch(64), suite.policies[row.policy or ""], Bits.parse("4/4"))
    apply(model, placement, maker.make_quantizers(placement))
    for calibrated in (copy.deepcopy(model), model):
        if calibrated is not model:
            starved(calibrated)
        maker.calibrate(calibrated, Batches(calibrated, [drawn_batch(64)]))
        found = {}
        for kind, one in (("fp", copy.deepcopy(fp)), ("int4", copy.deepcopy(calibrated))):
            data = starved(one).data_preprocessor(drawn_batch(64), False)
            samples = copy.deepcopy(data["data_samples"])
            for sample in samples:
                sample.gt_instances = sample.gt_instances[:0]
            losses = one.train().loss(data["inputs"], samples)
            total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if "loss" in k)
            total.backward()
            predicted = one.eval().predict(data["inputs"], copy.deepcopy(data["data_samples"]))
            found[kind] = (sorted(losses), bool(torch.isfinite(total)), [len(s.pred_instances) for s in predicted])
        assert found["fp"] == found["int4"] and found["fp"][1]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda o: o["kind"])
def test_a_value_that_is_not_finite_names_its_site(value: float, observer: dict[str, Any]) -> None:
    x = torch.randn(2, 3, 8, 8)
    for site, change in {
        "b.weight": lambda net: net.b.weight.data[0].fill_(value),
        "c.input": lambda net: net.b.bias.data[:1].fill_(value),
    }.items():
        net = Net()
        change(net)
        with pytest.raises(BenchError, match=f"calibration: {site} has values that are not finite"):
            quantized("uniform", observer, x, net)


def test_an_observer_that_was_never_asked_names_its_site() -> None:
    net, maker = Net(), method("uniform", {"kind": "minmax"})
    placement = placed(net, torch.randn(2, 3, 8, 8))
    apply(net, placement, maker.make_quantizers(placement))
    with pytest.raises(BenchError, match=r"calibration: a\.input: the observer saw no data"):
        calibrate(net, [])


class _ByChannel(Quantizer):
    """One step for each channel of an activation: the site says how many there are."""

    def __init__(self, bits: int, signed: bool, channels: int) -> None:
        shape = (1, channels, 1, 1)
        super().__init__(bits, signed, make_observer(Observer(kind="minmax"), bits, signed, shape), shape)
        self.step = nn.Parameter(torch.ones(shape))

    def quantize(self, x: Tensor) -> Tensor:
        v = (x / self.step).clamp(self.qmin, self.qmax)
        return (v.round() - v).detach() * self.step + v * self.step

    @torch.no_grad()
    def initialise(self) -> None:
        self.step.copy_(self.observed.step())


def test_activations_by_channel() -> None:
    net, maker = Net(), method("lsq", {"kind": "minmax"})
    x = torch.randn(2, 3, 8, 8) * torch.tensor([1.0, 10.0, 0.0]).view(1, 3, 1, 1)
    placement = placed(net, x)
    assert [site.shape for site in placement.activations] == [(2, 3, 8, 8), (2, 4, 8, 8), (2, 4, 8, 8)]
    made = maker.make_quantizers(placement)
    made |= {site.name: _ByChannel(site.bits, site.signed, site.shape[1]) for site in placement.activations}
    apply(net, placement, made)
    maker.calibrate(net, [functools.partial(net, x)])
    step = net.quantizers["a/input"].step.flatten()  # type: ignore[index, union-attr]
    ends = x.abs().amax((0, 2, 3)) / 127.5
    assert torch.allclose(step[:2], ends[:2]) and float(step[2]) == 1.0
    net(x).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert net.quantizers["a/input"].granularity == "channel"  # type: ignore[index, union-attr]


def test_one_channel_is_the_whole_tensor() -> None:
    x = torch.randn(5, 1, 3, 3)
    plain = StepObserver(Observer(kind="minmax"), -8, 7, True)
    own = make_observer(Observer(kind="minmax"), 4, True, (1, 1, 1, 1))
    for observer in (plain, own):
        observer.observe(x)
    assert float(own.step()) == float(plain.step()) and own.step().shape == (1, 1, 1, 1)
