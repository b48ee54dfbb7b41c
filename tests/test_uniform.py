"""Uniform quantization against its equations, and one training step of a detector with each method."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROJECT, SUITE
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.stack import MethodStack
from bench.methods.tqt import TqtFixed
from bench.quantization.apply import apply
from bench.quantization.conv import QuantConv2d
from bench.quantization.functional import uniform
from bench.quantization.placement import Placement
from bench.quantization.ranges import integer_range
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.protocol import VersionedMethod

RANGES = [(bits, signed) for bits in range(2, 9) for signed in (True, False)]
MINMAX = {"kind": "minmax"}
OPTIONS: dict[str, dict[str, Any]] = {
    "lsq": {"range_test": "paper", "grad_scale": "feature", "weights": MINMAX, "activations": {"kind": "lsq"}},
    "tqt": {"weights": {"kind": "std", "stds": 3.0}, "activations": {"kind": "percentile", "q": 99.9}},
    "tqt_fixed": {
        "weights": {"kind": "pot_mode", "rounding": "weight", "exponents": 5},
        "activations": {"kind": "pot_mode", "rounding": "activation", "exponents": 5},
        "image": {"kind": "pot_mode", "rounding": "activation", "exponents": 1},
    },
    "uniform": {"weights": MINMAX, "activations": {"kind": "ema_minmax", "ema": 0.9}},
}
TRAINED = {"lsq": ".step", "tqt": ".log2_threshold", "tqt_fixed": None, "uniform": None}


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(RANGES),
    st.floats(-8, 8),
    st.lists(st.floats(-300, 300) | st.integers(-600, 600).map(lambda k: k / 2), min_size=1, max_size=40),
)
def test_uniform_is_its_equation_in_float64(form: tuple[int, bool], log_step: float, codes: list[float]) -> None:
    qmin, qmax = integer_range(*form)
    s = 10**log_step
    x = torch.tensor([c * s for c in codes], dtype=torch.float64, requires_grad=True)
    out = torch.linspace(0.5, 2, len(codes), dtype=torch.float64)
    y = uniform(x, torch.tensor(s, dtype=torch.float64), qmin, qmax)
    (grad,) = torch.autograd.grad(y, x, out)
    rounded = np.round(x.detach().numpy() / s)
    assert np.array_equal(y.detach().numpy(), np.clip(rounded, qmin, qmax) * s)
    assert np.array_equal(grad.numpy(), out.numpy() * ((qmin <= rounded) & (rounded <= qmax)))


def test_the_step_has_no_gradient_and_may_broadcast() -> None:
    x = torch.tensor([[0.6], [0.6]], requires_grad=True)
    step = torch.tensor([[1.0], [0.5]], requires_grad=True)
    y = uniform(x, step, -8, 7)
    (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    grad.sum().backward()
    assert y.tolist() == [[1.0], [0.5]] and step.grad is None
    assert x.grad.tolist() == [[2.0], [2.0]]  # the second derivative of y^2


def test_infinities_saturate_and_nan_stays() -> None:
    x = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.3], requires_grad=True)
    y = uniform(x, torch.tensor(0.5), -8, 7)
    y[[0, 1, 3]].sum().backward()
    assert y.tolist()[:2] == [3.5, -4.0] and torch.isnan(y[2]) and y[3] == 0.5
    assert x.grad.tolist() == [0.0, 0.0, 0.0, 1.0]


@pytest.fixture(scope="module")
def placed() -> tuple[nn.Module, Placement]:
    table = load_suite(SUITE, PROJECT).suite
    scale = table.tiers["smoke"].detectors["retinanet-r18"]
    model = build_detector("retinanet-r18", scale, tuple(map(str, range(20))), 0).eval()
    return model, trace_placement(model, empty_batch(64, 64), table.policies["hqod"], Bits.parse("4/4"))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_detector_takes_one_step(name: str, placed: tuple[nn.Module, Placement]) -> None:
    model, placement = copy.deepcopy(placed[0]), placed[1]
    method = MethodStack.of([VersionedMethod(name=name, version=1, options=OPTIONS[name])])
    apply(model, placement, method.make_quantizers(placement))
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, 64, 64, generator=generator)

    def outputs() -> Iterator[torch.Tensor]:
        return (level for branch in model(image, None, mode="tensor") for level in branch)

    method.calibrate(model, [outputs_of(model, image)])
    held = {n: v.clone() for n, v in model.state_dict().items() if n.startswith("quantizers.")}
    assert len(held) == len(placement.sites) and all(torch.isfinite(v) for v in held.values())
    sum(level.square().sum() for level in outputs()).backward()
    torch.optim.SGD(model.parameters(), lr=1e-4).step()
    trained = {n: p for n, p in model.named_parameters() if n.startswith("quantizers.")}
    suffix = TRAINED[name]
    if suffix is None:
        assert not trained
        assert all(torch.equal(held[n], v) for n, v in model.state_dict().items() if n in held)
    else:
        assert trained.keys() == held.keys() and all(n.endswith(suffix) for n in trained)
        assert all(p.grad is not None and torch.isfinite(p.grad) for p in trained.values())
        assert any(not torch.equal(held[n], p) for n, p in trained.items())
    for layer in (m for m in model.modules() if isinstance(m, QuantConv2d)):
        assert layer.weight.grad is not None and torch.isfinite(layer.weight.grad).all()
        codes = layer.held.weight(layer.weight) / layer.held.weight.step
        assert len(torch.unique(codes.round())) <= 2**layer.held.weight.bits


def outputs_of(model: nn.Module, image: torch.Tensor) -> Any:
    return lambda: model(image, None, mode="tensor")


def test_the_image_has_its_own_observer(placed: tuple[nn.Module, Placement]) -> None:
    made = TqtFixed(OPTIONS["tqt_fixed"]).make_quantizers(placed[1])
    tried = {site.name: made[site.name].observer.spec.exponents for site in placed[1].activations}
    assert [name for name, count in tried.items() if count == 1] == ["backbone.conv1.input"]
