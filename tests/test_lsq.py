"""LSQ against its paper's equations and against torch's operator, on values where they differ."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.calibration.observers import StepObserver
from bench.quantization.functional import lsq
from bench.quantization.ranges import integer_range
from bench.schema.options.observer import Observer

RANGES = [(bits, signed) for bits in range(2, 9) for signed in (True, False)]


def by_equations(x: np.ndarray, s: float, qn: int, qp: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LSQ's equations 1 to 3, entry by entry: value, d value / d x, d value / d s."""
    v = x / s
    value = np.round(np.clip(v, -qn, qp)) * s
    inside = (-qn < v) & (v < qp)
    d_step = np.where(v <= -qn, -qn, np.where(v >= qp, qp, np.round(v) - v))
    return value, inside.astype(float), d_step


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(RANGES),
    st.floats(-8, 8),
    st.lists(st.floats(-20, 20) | st.integers(-20, 20).map(lambda k: k / 2), min_size=1, max_size=40),
    st.floats(1e-3, 1),
)
def test_lsq_is_the_paper_in_float64(form: tuple[int, bool], log_step: float, codes: list[float], g: float) -> None:
    qmin, qmax = integer_range(*form)
    s = float(10**log_step)
    x = torch.tensor([c * s for c in codes], dtype=torch.float64, requires_grad=True)
    step = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    y = lsq(x, step, qmin, qmax, g, "paper")
    out = torch.linspace(0.5, 2, len(codes), dtype=torch.float64)
    grad_x, grad_s = torch.autograd.grad(y, (x, step), out)
    value, d_x, d_s = by_equations(x.detach().numpy(), s, -qmin, qmax)
    assert np.array_equal(y.detach().numpy(), value)
    assert np.array_equal(grad_x.numpy(), d_x * out.numpy())
    terms = g * d_s * out.numpy()
    assert abs(float(grad_s) - terms.sum()) <= 1e-12 * max(1e-30, np.abs(terms).sum()) + 1e-12 * g * len(codes)


@pytest.mark.parametrize(("bits", "signed"), RANGES)
def test_the_mqbench_variant_is_torchs_operator(bits: int, signed: bool) -> None:
    """Forward and input gradient to the bit, ties included; the step's gradient to rounding."""
    qmin, qmax = integer_range(bits, signed)
    generator = torch.Generator().manual_seed(bits)
    base = torch.randn(4000, generator=generator) * 2 ** (bits - 1)
    x = torch.cat([base, torch.arange(-40, 40) / 2.0]) * 0.37
    g = float((x.numel() * qmax) ** -0.5)
    out = torch.randn(x.numel(), generator=generator)
    ours, theirs = [torch.tensor([0.37], requires_grad=True) for _ in range(2)]
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    y1 = lsq(x1, ours, qmin, qmax, g, "mqbench")
    zero = torch.zeros(1)
    y2 = torch._fake_quantize_learnable_per_tensor_affine(x2, theirs, zero, qmin, qmax, g)
    y1.backward(out)
    y2.backward(out)
    assert torch.equal(y1, y2) and torch.equal(x1.grad, x2.grad)
    magnitude = float((out.abs() * torch.clamp((x / 0.37).abs(), max=-qmin + qmax)).sum()) * g
    assert abs(float(ours.grad) - float(theirs.grad)) <= 1e-6 * magnitude


def test_the_two_range_tests_differ_at_two_bits() -> None:
    """At x = 1.4, step 1, [-2, 1] torch's gradients are (1, -0.4), the paper's (0, 1)."""
    for variant, expected in (("mqbench", (1.0, -0.4)), ("paper", (0.0, 1.0))):
        x, s = torch.tensor([1.4], requires_grad=True), torch.tensor(1.0, requires_grad=True)
        lsq(x, s, -2, 1, 1.0, variant).sum().backward()  # type: ignore[arg-type]
        assert (float(x.grad), round(float(s.grad), 6)) == expected


@pytest.mark.parametrize("variant", ["paper", "mqbench"])
def test_infinities_saturate_and_nan_stays(variant: str) -> None:
    x = torch.tensor([float("inf"), -float("inf"), 0.3], requires_grad=True)
    s = torch.tensor(0.5, requires_grad=True)
    y = lsq(x, s, -8, 7, 1.0, variant)  # type: ignore[arg-type]
    y.sum().backward()
    assert y.tolist()[:2] == [3.5, -4.0]
    assert torch.isfinite(x.grad).all() and torch.isfinite(s.grad)
    assert torch.isnan(lsq(torch.tensor([float("nan")]), s, -8, 7, 1.0, variant)).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", ["paper", "mqbench"])
def test_double_backward_exists(variant: str) -> None:
    x = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)
    s = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(lsq(x, s, -4, 3, 0.1, variant).square().sum(), s, create_graph=True)  # type: ignore[arg-type]
    second = torch.autograd.grad(grad, (x, s), allow_unused=True)
    assert all(g is not None and torch.isfinite(g).all() for g in second)


def test_signed_observers_are_mqbenchs(shared: Path) -> None:
    folder = shared / "parity"
    cases = json.loads((folder / "mqbench_fake_quant.json").read_text())["cases"]
    arrays = np.load(folder / "mqbench_fake_quant.npz")
    checked = 0
    for case in cases:
        if not case["signed"] or "observer_scale" not in case:
            continue
        x = torch.from_numpy(arrays[f"{case['id']}.x"])
        for kind, extra in (("minmax", {}), ("mse", {"p": 2.0}), ("lsq", {})):
            observer = StepObserver(Observer(kind=kind, **extra), case["qmin"], case["qmax"], True)  # type: ignore[arg-type]
            observer.observe(x)
            assert float(observer.step()) == pytest.approx(case["observer_scale"][kind], rel=1e-6), case["id"]
            checked += 1
    assert checked == 36


def test_lsq_is_mqbenchs_on_its_recorded_cases(shared: Path) -> None:
    folder = shared / "parity"
    cases = json.loads((folder / "mqbench_fake_quant.json").read_text())["cases"]
    arrays = np.load(folder / "mqbench_fake_quant.npz")
    for case in cases:
        x, out, y, grad_x, grad_s = (
            torch.from_numpy(arrays[f"{case['id']}.{name}"]) for name in ("x", "grad_out", "y", "grad_x", "grad_scale")
        )
        step = torch.tensor(case["scale"], requires_grad=True)
        x.requires_grad_()
        g = float((x.numel() * case["qmax"]) ** -0.5)
        ours = lsq(x, step, case["qmin"], case["qmax"], g, "mqbench")
        ours.backward(out)
        assert torch.equal(ours, y) and torch.equal(x.grad, grad_x), case["id"]
        scaled = (x.detach() / case["scale"]).double()
        codes = scaled.round().clamp(case["qmin"], case["qmax"])
        inside = (scaled.round() >= case["qmin"]) & (scaled.round() <= case["qmax"])
        terms = (out.double() * torch.where(inside, codes - scaled, codes)).abs().sum() * g
        assert abs(float(step.grad) - float(grad_s)) <= 1e-6 * float(terms), case["id"]
    assert len(cases) == 24
