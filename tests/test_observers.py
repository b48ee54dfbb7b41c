"""Observers against MQBench's recorded step sizes, against plain loops and by hand."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_observers import PUBLISHED, scale
from pydantic import ValidationError

from bench.calibration import search
from bench.calibration.observers import StepObserver, make_observer
from bench.quantization.functional import mqbench_codes
from bench.quantization.ranges import integer_range, step_of_range
from bench.schema.options.observer import Observer

RANGES = [(bits, signed) for bits in range(2, 9) for signed in (True, False)]


def test_every_recorded_step_is_mqbenchs(shared: Path) -> None:
    folder = shared / "parity"
    cases = json.loads((folder / "mqbench_fake_quant.json").read_text())["cases"]
    arrays = np.load(folder / "mqbench_fake_quant.npz")
    signs = []
    for case in cases:
        x, declared = torch.from_numpy(arrays[f"{case['id']}.x"]), (case["qmin"], case["qmax"], case["signed"])
        for name in ("minmax", "mse", "lsq"):
            expected = pytest.approx(case["observer_scale"][name], rel=1e-6)
            assert float(scale(x, name, *declared, unsigned="mqbench")) == expected, (case["id"], name)
            same = case["signed"] or name == "lsq"
            assert (float(scale(x, name, *declared)) == expected) is same, (case["id"], name)
            for ema in {"minmax": ["ema_minmax"], "mse": ["ema_mse"]}.get(name, []):
                assert float(scale(x, ema, *declared, unsigned="mqbench")) == expected
        signs.append(case["signed"])
    assert signs.count(True) == signs.count(False) == 12


def test_hqods_unsigned_range_is_all_codes() -> None:
    x = torch.tensor([0.0, 1.0, 3.0])
    assert float(scale(x, "minmax", 0, 15, False)) == pytest.approx(3 / 15)
    assert float(scale(x, "minmax", 0, 15, False, "mqbench")) == pytest.approx(3 / 7.5)
    assert float(scale(-x, "minmax", -8, 7, True)) == pytest.approx(3 / 7.5)


def plain_search(x: torch.Tensor, qmin: int, qmax: int, signed: bool, p: float) -> torch.Tensor:
    """The step with the smallest float32 error of all 95, the first one at equality."""
    low, high = x.min().clamp_max(0), x.max().clamp_min(0)
    best, best_error = torch.tensor(0.0), math.inf
    for i in range(95):
        keep = 1.0 - 0.01 * i
        step = step_of_range(low * keep, high * keep, qmin, qmax, signed)
        error = float((torch.fake_quantize_per_tensor_affine(x, float(step), 0, qmin, qmax) - x).abs().pow(p).mean())
        if error < best_error:
            best, best_error = step, error
    return best


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(RANGES),
    st.sampled_from(["normal", "laplace", "grid", "one", "zero", "spike"]),
    st.floats(-8, 8),
    st.integers(1, 5000),
    st.integers(0, 2**31),
    st.sampled_from([2.0, 2.4]),
)
def test_the_fast_search_is_the_plain_one(
    form: tuple[int, bool], kind: str, log_scale: float, count: int, seed: int, p: float
) -> None:
    generator = np.random.default_rng(seed)
    values = {
        "normal": generator.normal(size=count),
        "laplace": generator.laplace(size=count),
        "grid": generator.integers(-20, 20, size=count) / 4,
        "one": np.full(count, 0.7),
        "zero": np.zeros(count),
        "spike": np.append(generator.normal(size=count), 50.0),
    }[kind]
    x = torch.tensor(values * 10**log_scale, dtype=torch.float32)
    x = x if form[1] else x.relu()
    observer = StepObserver(Observer(kind="mse", p=p), *integer_range(*form), form[1])
    observer.observe(x)
    assert torch.equal(observer.step(), plain_search(x, *integer_range(*form), form[1], p))


def by_candidates(observer: Any, x: torch.Tensor, everything: bool) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        if everything:
            patch.setattr(search, "_near_best_power", lambda x, steps, *_: range(len(steps)))
        observer.observe(x)
    return observer.step()


BULKS = {
    "relu": lambda g: torch.randn(700_000, generator=g).relu(),
    "outliers": lambda g: torch.cat([torch.randn(600_000, generator=g), torch.tensor([300.0, -200.0])]),
    "quantized already": lambda g: torch.randint(-7, 8, (600_000,), generator=g) * 0.013,
    "two scales": lambda g: torch.cat([torch.randn(550_000, generator=g) * 1e-3, torch.randn(5_000, generator=g)]),
    "tiny and one": lambda g: torch.cat([torch.randn(550_000, generator=g) * 1e-6, torch.tensor([3.0, -1.0])]),
    "constant": lambda g: torch.full((550_000,), 0.3),
}


@pytest.mark.parametrize("p", [0.5, 1.0, 2.4, 3.5, 8.0])
@pytest.mark.parametrize("form", [(2, True), (4, False), (8, True)], ids=str)
def test_a_search_in_bins_is_the_whole_one(form: tuple[int, bool], p: float) -> None:
    """More values than bins: the same choice, for tensors that are hard to put into bins."""
    for name, draw in BULKS.items():
        x = draw(torch.Generator().manual_seed(0))
        x = x if form[1] else x.relu()
        spec = Observer(kind="mse", p=p)
        fast, slow = (StepObserver(spec, *integer_range(*form), form[1]) for _ in range(2))
        fast.shrinks = slow.shrinks = 20
        assert torch.equal(by_candidates(fast, x, False), by_candidates(slow, x, True)), name


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(RANGES), st.sampled_from([0.5, 1.0, 2.4, 8.0]), st.floats(-12, 12), st.integers(1, 40),
    st.integers(0, 2**31),
)  # fmt: skip
def test_a_search_by_channel_is_the_whole_one(
    form: tuple[int, bool], p: float, log_scale: float, count: int, seed: int
) -> None:
    x = torch.randn(3, count, generator=torch.Generator().manual_seed(seed)) * 10**log_scale
    spec = Observer(kind="mse", p=p)
    fast, slow = (make_observer(spec, *form, (3, 1)) for _ in range(2))
    assert torch.equal(by_candidates(fast, x, False), by_candidates(slow, x, True))


def test_without_numba_all_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(300, generator=torch.Generator().manual_seed(0))
    fast = scale(x, "mse24", -8, 7, True)
    monkeypatch.setattr(search, "_compiled", lambda: None)
    assert list(search._near_best_power(x, [0.1, 0.2], -8, 7, 2.4)) == [0, 1]
    assert float(scale(x, "mse24", -8, 7, True)) == float(fast)


@pytest.mark.parametrize("shape", [(), (64, 1, 1, 1)], ids=["tensor", "channel"])
def test_the_search_by_a_power_is_several_times_faster(shape: tuple[int, ...]) -> None:
    x = torch.randn(64, 256, 3, 3, generator=torch.Generator().manual_seed(0))
    x = x if shape else torch.cat([x] * 6)
    spec = Observer(kind="mse", p=2.4)
    by_candidates(make_observer(spec, 4, True, shape and (2, 1, 1, 1)), x[:2], False)  # compiled
    ratios = []
    for _ in range(5):
        spent = []
        for everything in (False, True):
            observer = make_observer(spec, 4, True, shape)
            began = time.process_time()
            by_candidates(observer, x, everything)
            spent.append(time.process_time() - began)
        ratios.append(spent[1] / spent[0])
    assert sorted(ratios)[2] > (2 if shape else 5), ratios


def test_the_search_drops_most_candidates() -> None:
    x = torch.randn(20000, generator=torch.Generator().manual_seed(0))
    steps = [float(x.abs().max()) / 7.5 * (1 - 0.01 * i) for i in range(95)]
    assert len(search._near_best(x, steps, -8, 7)) < 10


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_range_that_is_not_finite_stays_visible(value: float) -> None:
    x = torch.tensor([1.0, value])
    assert not torch.isfinite(scale(x, "minmax", -8, 7, True))
    with pytest.raises(RuntimeError, match="not finite"):
        scale(x, "pot_mode_weight", -8, 7, True)


def test_averages_over_batches() -> None:
    observer = StepObserver(PUBLISHED["ema_minmax"], -8, 7, True)
    for end in (1.0, 2.0, 4.0):
        observer.observe(torch.tensor([-end, end / 2]))
    assert float(observer.step()) == pytest.approx((0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 4) / 7.5)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=200), st.floats(1, 100))
@settings(deadline=None, max_examples=60)
def test_percentile_is_numpys_nearest_rank(values: list[float], q: float) -> None:
    x = torch.tensor(values)
    observer = StepObserver(Observer(kind="percentile", q=q), -8, 7, True)
    observer.observe(x)
    sizes = np.sort(np.abs(np.array(values, dtype=np.float32)))
    end = sizes[max(1, math.ceil(q / 100 * len(values))) - 1]
    # Without a range the step is 1: TQT's threshold is then qmax + 1.
    assert float(observer.threshold()) == (max(float(end), 2**-23) if end > 0 else 8.0)


def test_three_sigma_is_the_mean_and_three_deviations() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    end = abs(x.double().mean()) + 3 * x.double().std(correction=0)
    assert float(scale(x, "3sigma", -8, 7, True)) == pytest.approx(float(end) / 7.5, rel=1e-5)
    assert float(scale(x, "3sigma", 0, 15, False)) == pytest.approx(float(end) / 15, rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(RANGES),
    st.sampled_from(["pot_mode_weight", "pot_mode_activation", "pot_mode_image"]),
    st.floats(-2, 6),
    st.integers(0, 2**31),
)
def test_power_of_two_mode_is_the_best_of_its_exponents(
    form: tuple[int, bool], name: str, log_scale: float, seed: int
) -> None:
    qmin, qmax = integer_range(*form)
    x = torch.randn(200, generator=torch.Generator().manual_seed(seed)) * 10**log_scale
    x = x if form[1] else x.relu()
    covering = max(float(x.max()) / qmax, float(x.min()) / qmin if qmin else 0.0)
    start, rounding = math.floor(math.log2(1 / covering)), PUBLISHED[name].rounding
    tried = [2.0**-e for e in range(start, start + PUBLISHED[name].exponents)]
    errors = [float((mqbench_codes(x / s, qmin, qmax, rounding) * s - x).square().sum()) for s in tried]
    assert float(scale(x, name, qmin, qmax, form[1])) == max(tried[int(np.argmin(errors))], 2.0**-12)


def test_power_of_two_mode_counts_batches() -> None:
    observer = StepObserver(PUBLISHED["pot_mode_image"], -8, 7, True)
    for end in (7.0, 3.5, 3.5, 1.75, 1.75):
        observer.observe(torch.tensor([end]))
    assert float(observer.step()) == 0.5 and float(observer.threshold()) == 4.0  # of equal counts the larger step
    assert float(scale(torch.zeros(3), "pot_mode_weight", -8, 7, True)) == 1.0
    assert float(scale(torch.tensor([7 * 2**-14.0]), "pot_mode_weight", -8, 7, True)) == 2.0**-12


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_an_observer_without_data_says_so(name: str) -> None:
    observer = StepObserver(PUBLISHED[name], -8, 7, True)
    for ask in (observer.step, observer.threshold):
        with pytest.raises(RuntimeError, match="saw no data"):
            ask()


def test_an_observer_declares_its_own_fields_and_no_others() -> None:
    with pytest.raises(ValidationError, match="observer std needs `stds`"):
        Observer(kind="std")
    with pytest.raises(ValidationError, match="observer minmax has no `q`"):
        Observer(kind="minmax", q=99.0)
    assert PUBLISHED["ema_mse"].model_dump(exclude_none=True) == {"kind": "ema_mse", "p": 2.0, "ema": 0.9}


@pytest.mark.parametrize(("signed", "last"), [(True, 7), (False, 15)])
def test_the_largest_magnitude_has_the_last_code(signed: bool, last: int) -> None:
    observer = make_observer(Observer(kind="absmax"), 4, signed)
    observer.observe(torch.tensor([-2.0 if signed else 0.0, 0.5, 3.0]))
    observer.observe(torch.tensor([1.0]))
    assert float(observer.step()) == pytest.approx(3 / last)
