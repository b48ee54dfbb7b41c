"""TQT against its paper's equations in float64, and its MQBench form against that code's recorded values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.quantization.functional import snap, tqt, tqt_fixed, tqt_step
from bench.quantization.ranges import integer_range

RANGES = [(bits, signed) for bits in range(2, 9) for signed in (True, False)]
CODES = st.lists(st.floats(-300, 300) | st.integers(-600, 600).map(lambda k: k / 2), min_size=1, max_size=40)


def by_equations(x: np.ndarray, log2_t: float, bits: int, signed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """TQT's equations, entry by entry: value, d value / d x (8), d value / d log2 t (7)."""
    n, p = integer_range(bits, signed)
    s = 2.0 ** np.ceil(log2_t) / 2.0 ** (bits - 1 if signed else bits)
    r = np.round(x / s)
    inside = (n <= r) & (r <= p)
    slope = np.where(inside, r - x / s, np.where(r < n, n, p))
    return np.clip(r, n, p) * s, inside.astype(float), s * np.log(2) * slope


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(RANGES), st.floats(-26, 26) | st.integers(-26, 26).map(float), CODES)
def test_tqt_is_the_paper_in_float64(form: tuple[int, bool], log2_t: float, codes: list[float]) -> None:
    qmin, qmax = integer_range(*form)
    threshold = torch.tensor(log2_t, dtype=torch.float64, requires_grad=True)
    s = float(tqt_step(threshold, qmax).detach())
    x = torch.tensor([c * s for c in codes], dtype=torch.float64, requires_grad=True)
    out = torch.linspace(0.5, 2, len(codes), dtype=torch.float64)
    y = tqt(x, threshold, qmin, qmax)
    grad_x, grad_t = torch.autograd.grad(y, (x, threshold), out)
    value, d_x, d_t = by_equations(x.detach().numpy(), log2_t, *form)
    assert np.array_equal(y.detach().numpy(), value)
    assert np.array_equal(grad_x.numpy(), d_x * out.numpy())
    terms = d_t * out.numpy()
    assert abs(float(grad_t) - terms.sum()) <= 1e-12 * np.abs(terms).sum()


def test_the_step_is_a_power_of_two_at_or_above_the_threshold() -> None:
    for exponent in range(-27, 28):
        for offset, expected in ((0.0, exponent), (1e-3, exponent + 1), (-1e-3, exponent)):
            for dtype in (torch.float32, torch.float64):
                step = tqt_step(torch.tensor(exponent + offset, dtype=dtype), 127)
                assert float(step) == 2.0**expected / 128


def test_thresholds_may_be_one_per_channel() -> None:
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64).view(1, 3, 1).requires_grad_()
    tqt(x, together, -4, 3).sum().backward()
    for channel in range(3):
        alone = together.detach().flatten()[channel].clone().requires_grad_()
        tqt(x[:, channel], alone, -4, 3).sum().backward()
        torch.testing.assert_close(together.grad.flatten()[channel], alone.grad)


def test_infinities_saturate_and_nan_stays() -> None:
    nan = torch.tensor([float("nan")])
    x = torch.tensor([float("inf"), -float("inf"), 0.3], requires_grad=True)
    threshold, scale = torch.tensor(2.0, requires_grad=True), torch.tensor(0.5)
    y = tqt(x, threshold, -8, 7)
    (first,) = torch.autograd.grad(y.sum(), threshold, create_graph=True)
    (second,) = torch.autograd.grad(first, threshold, retain_graph=True)
    first.backward()
    assert y.tolist()[:2] == [3.5, -4.0]
    assert all(torch.isfinite(g).all() for g in (first, second, x.grad))
    assert torch.isnan(tqt(nan, threshold, -8, 7)).all()
    for rounding in ("weight", "activation"):
        x.grad = None
        y = tqt_fixed(x, scale, -8, 7, rounding)  # type: ignore[arg-type]
        y.sum().backward()
        assert y.tolist()[:2] == [3.5, -4.0] and x.grad.tolist() == [0.0, 0.0, 1.0]
        assert torch.isnan(tqt_fixed(nan, scale, -8, 7, rounding)).all()  # type: ignore[arg-type]


def test_double_backward_exists_and_is_that_of_the_straight_through_gradient() -> None:
    """Of sum y^2: d/dlog2 t = sum 2 y D with D = s ln2 k, so the second is sum 2 D^2 + 2 y ln2 D."""
    x = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    y = tqt(x, threshold, -4, 3)
    (grad,) = torch.autograd.grad(y.square().sum(), threshold, create_graph=True)
    to_x, to_threshold = torch.autograd.grad(grad, (x, threshold))
    value, _, slope = by_equations(x.detach().numpy(), 0.4, 3, True)
    assert float(to_threshold) == pytest.approx((2 * slope**2 + 2 * value * np.log(2) * slope).sum(), rel=1e-12)
    assert torch.isfinite(to_x).all()
    y = tqt_fixed(x, torch.tensor(0.4, dtype=torch.float64), -4, 3)
    (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    assert torch.autograd.grad(grad.sum(), x)[0].max() == 2


def fixed_by_hand(x: np.ndarray, scale: float, n: int, p: int, rounding: str) -> tuple[np.ndarray, np.ndarray]:
    """MQBench's value and its gradient of x, entry by entry."""

    def activation(v: float) -> float:
        return float(np.ceil(v)) if v < 0 and v - np.floor(v) == 0.5 else float(np.round(v))

    exponent = 0.0 if scale < 2**-15 else np.floor(np.log2(1 / scale))
    s = 2.0**-exponent
    if rounding == "weight":
        codes = [np.clip(np.round(v / s), n, p) for v in x]
    else:
        codes = [activation(np.clip(v / s, n, p)) for v in x]
    return np.array(codes) * s, np.array([float(n <= activation(v / scale) <= p) for v in x])


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(RANGES), st.floats(-8, 8), st.booleans(), CODES, st.sampled_from(["weight", "activation"]))
def test_fixed_is_mqbenchs_in_float64(
    form: tuple[int, bool], log_scale: float, of_raw: bool, codes: list[float], rounding: str
) -> None:
    """Ties of both steps: the snapped one of the value and the raw one of the range test."""
    qmin, qmax = integer_range(*form)
    scale = torch.tensor(10**log_scale, dtype=torch.float64)
    unit = float(scale if of_raw else snap(scale))
    x = torch.tensor([c * unit for c in codes], dtype=torch.float64, requires_grad=True)
    y = tqt_fixed(x, scale, qmin, qmax, rounding)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(y.sum(), x)
    value, inside = fixed_by_hand(x.detach().numpy(), float(scale), qmin, qmax, rounding)
    assert np.array_equal(y.detach().numpy(), value) and np.array_equal(grad.numpy(), inside)


def test_rules_of_the_fixed_form() -> None:
    """Ties by hand, and a range test that does not fit the value: at scale 1.5 the step is 2."""
    ties = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    one = torch.tensor(1.0)
    assert tqt_fixed(ties, one, -8, 7, "weight").tolist() == [-2, -2, 0, 0, 2, 2]
    assert tqt_fixed(ties, one, -8, 7, "activation").tolist() == [-2, -1, 0, 0, 2, 2]
    x = torch.tensor([12.0], requires_grad=True)
    scale = torch.tensor(1.5, requires_grad=True)
    y = tqt_fixed(x, scale, -8, 7)
    y.sum().backward()
    assert y.item() == 12.0 and x.grad.item() == 0.0 and scale.grad is None
    assert snap(torch.tensor([2**-15 * 0.99, 2**-15, 0.5, 0.51, 3.0])).tolist() == [1.0, 2**-15, 0.5, 1.0, 4.0]


def test_fixed_is_mqbenchs_on_its_recorded_cases(shared: Path) -> None:
    folder = shared / "parity"
    cases = json.loads((folder / "mqbench_fake_quant.json").read_text())["cases"]
    arrays = np.load(folder / "mqbench_fake_quant.npz")
    for case in cases:
        x, scale = torch.from_numpy(arrays[f"{case['id']}.x"]), torch.tensor(case["scale"])
        assert float(snap(scale)) == case["tqt_scale_used"], case["id"]
        y = tqt_fixed(x, scale, case["qmin"], case["qmax"], "weight")
        assert torch.equal(y, torch.from_numpy(arrays[f"{case['id']}.tqt_y"])), case["id"]
    assert len(cases) == 24
