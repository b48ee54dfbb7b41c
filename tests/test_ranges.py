"""Histograms, and the ranges that are found on them, against plain computations on all values."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from bench.calibration import histogram as histograms
from bench.calibration.entropy import entropy_end
from bench.calibration.histogram import Histogram
from bench.calibration.observers import make_observer
from bench.calibration.range_observer import RangeObserver
from bench.calibration.range_search import Codes, Scale, best_range, most_alike
from bench.schema.options.calibration import UniformOptions
from bench.schema.options.observer import Observer

POWERS = (0.5, 1.0, 1.5, 2.0, 2.4, 3.0, 4.0)


def filled(*batches: Tensor) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


def normal(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def quantized(x: Tensor, codes: Codes, scale: Scale) -> Tensor:
    code = (torch.round(x / scale.step) + scale.zero).clamp(codes.qmin, codes.qmax)
    return (code - scale.zero) * scale.step


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.lists(st.floats(-3, 3), min_size=2, max_size=4), st.booleans())
def test_batches_in_any_order_make_one_histogram(seed: int, logs: list[float], compiled: bool) -> None:
    batches = [normal(50_000, seed + k) * 10**log for k, log in enumerate(logs)]
    batches[0][::3] = 0
    whole = torch.cat(batches).double()
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(histograms, "compiled_loops", lambda: None)
        here, there = filled(*batches), filled(*batches[::-1])
    assert np.array_equal(here.points.counts, there.points.counts)
    assert np.allclose(here.points.values, there.points.values, rtol=1e-12)
    assert (here.low, here.high, here.size) == (float(whole.min()), float(whole.max()), whole.numel())
    assert here.zeros == int((whole == 0).sum()) and here.points.counts.sum() + here.zeros == whole.numel()
    total = here.points.counts @ here.points.values
    assert total == pytest.approx(float(whole.sum()), abs=1e-9 * float(whole.abs().sum()))
    assert (np.diff(here.points.values) > 0).all()
    ordered = whole.sort().values
    for share in (0.0, 0.01, 0.5, 0.9999, 1.0):
        rank = max(1, int(np.ceil(share * whole.numel() - 1e-6)))
        width = max(-here.low, here.high) / 2**16
        assert here.quantile(share) == pytest.approx(float(ordered[rank - 1]), abs=width)


def test_few_values_stand_for_themselves() -> None:
    x = normal(1000)
    assert np.array_equal(filled(x[:300], x[300:]).points.values, x.double().sort().values.numpy())


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(fault: float) -> None:
    with pytest.raises(ValueError, match="a histogram needs finite values"):
        filled(torch.tensor([0.0, fault]))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 8),
    st.sampled_from(["unsigned", "signed", "offset"]),
    st.sampled_from(POWERS),
    st.integers(1, 3000),
    st.integers(0, 2**31),
    st.booleans(),
)
@example(2, "signed", 0.5, 2, 210, False)
@example(2, "signed", 0.5, 2, 210, True)
def test_a_search_finds_the_smallest_error(
    bits: int, form: str, p: float, size: int, seed: int, compiled: bool
) -> None:
    x = normal(size, seed)
    x = {"unsigned": x.relu(), "signed": x, "offset": torch.nn.functional.silu(3 * x)}[form]
    codes = Codes.of(bits, form != "unsigned", form == "offset")
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr("bench.calibration.range_search.compiled_loops", lambda: None)
            patch.setattr("bench.calibration.range_search.compiled_errors", lambda: None)
        found = best_range(filled(x), codes, p)
        alike = most_alike(filled(x), codes)
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    wide = x.double()
    tried = [quantized(wide, codes, codes.scale(low * k, high * k)) for k in 1 - np.arange(100) / 100]
    least = min(float((q - wide).abs().pow(p).sum()) for q in tried)
    assert float((quantized(wide, codes, found) - wide).abs().pow(p).sum()) <= least * (1 + 1e-5) + 1e-12
    nearest = max(float(torch.cosine_similarity(q, wide, dim=0)) for q in tried)
    if wide.any():
        assert float(torch.cosine_similarity(quantized(wide, codes, alike), wide, dim=0)) >= nearest - 1e-9


def test_ends_apart_are_at_least_as_good_as_together() -> None:
    x = torch.nn.functional.silu(2 * normal(100_000))
    x[:3] = 40.0
    codes, histogram = Codes.of(4, True, offset=True), filled(x)
    errors = [
        float((quantized(x, codes, best_range(histogram, codes, 2.0, apart=apart)) - x).square().sum())
        for apart in (False, True)
    ]
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize(("bits", "keep"), [(2, 0.857), (4, 0.968)])
def test_a_large_p_tends_to_the_minimax_range(bits: int, keep: float) -> None:
    """Of a bounded tensor without sign: what is cut off then equals half a step."""
    histogram = filled(3 * torch.linspace(0, 1, 300_001) ** 3)
    steps = [best_range(histogram, Codes.of(bits, False), p, candidates=1000).step for p in (2.0, 8.0, 100.0)]
    kept = [step * (2**bits - 1) / 3 for step in steps]
    assert kept[2] == pytest.approx(keep, abs=6e-3)
    assert abs(kept[0] - keep) > abs(kept[2] - keep)


def test_at_16_bits_all_p_agree_where_there_are_no_outliers() -> None:
    histogram = filled(normal(200_000).clamp(-3, 3))
    assert len({best_range(histogram, Codes.of(16, True), p) for p in POWERS}) == 1


@pytest.mark.parametrize("form", ["unsigned", "signed", "offset"])
def test_a_planted_outlier_is_cut(form: str) -> None:
    x = normal(100_000).relu() if form == "unsigned" else normal(100_000)
    codes = Codes.of(4, form != "unsigned", form == "offset")
    x[7] = 100.0
    steps = {p: best_range(filled(x), codes, p).step for p in (1.0, 2.0)}
    whole = codes.scale(float(x.min()), float(x.max())).step
    assert max(steps.values()) < 0.2 * whole
    spec = Observer(kind="quantile", q=99.99)
    observer = RangeObserver(spec, 4, form != "unsigned", form == "offset")
    observer.observe(x)
    assert observer.scale().step < 0.2 * whole


def test_entropy_cuts_a_tail_and_keeps_a_uniform_range() -> None:
    uniform, heavy = torch.linspace(0, 1, 200_001), normal(200_000).abs()
    heavy[:5] = 50.0
    assert entropy_end(filled(uniform), 128, 2048) > 0.95
    assert 1.5 < entropy_end(filled(heavy), 128, 2048) < 10
    assert entropy_end(filled(uniform), 128, 128) == 1.0


def test_percentiles_and_the_mean_of_extremes_by_hand() -> None:
    x = torch.arange(-100, 901).float()
    offset = RangeObserver(Observer(kind="quantile", q=90.0), 8, True, offset=True)
    offset.observe(x)
    assert offset.scale() == Codes.of(8, True, True).scale(-50, 850)
    signed = make_observer(Observer(kind="quantile", q=90.0), 8, True)
    signed.observe(x)
    assert float(signed.step()) == pytest.approx(800 / 127.5, rel=1e-3)
    images = torch.tensor([[-1.0, 3.0], [-2.0, 5.0], [1.0, 4.0]])
    mean = RangeObserver(Observer(kind="mean_minmax"), 8, True, offset=True)
    mean.observe(images[:2])
    mean.observe(images[2:])
    assert mean.scale() == Codes.of(8, True, True).scale(-1, 4)
    assert mean.scale() == Scale(float(np.float32(5 / 255)), 51)


KINDS: list[dict[str, Any]] = [
    {"kind": "mean_minmax"},
    {"kind": "quantile", "q": 99.99},
    {"kind": "entropy", "bins": 256},
    {"kind": "lp", "p": 2.4, "candidates": 100},
    {"kind": "lp", "p": 2.0, "candidates": 100},
    {"kind": "cosine", "candidates": 100},
]


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("spec", KINDS, ids=str)
def test_odd_tensors_have_a_defined_scale(spec: dict[str, Any], offset: bool) -> None:
    """One image, an empty image, a constant one, a channel that is zero or negative throughout."""

    def scale(*batches: Tensor) -> Scale:
        observer = RangeObserver(Observer(**spec), 4, True, offset)
        for batch in batches:
            observer.observe(batch)
        return observer.scale()

    assert scale(torch.zeros(1, 3, 4, 4)) == scale(torch.zeros(0, 3)) == Scale(1.0)
    for batches in ([normal(300).view(1, 3, 10, 10)], [torch.zeros(0, 3, 10, 10), torch.full((1, 3, 10, 10), 0.3)],
                    [torch.full((1, 3, 10, 10), -0.3)], [torch.full((1, 1), 1e-30)]):  # fmt: skip
        found, codes = scale(*batches), Codes.of(4, True, offset)
        assert np.isfinite(found.step) and found.step > 0 and codes.qmin <= found.zero <= codes.qmax
        assert torch.isfinite(quantized(batches[-1], codes, found)).all()
    if offset or spec["kind"] != "mean_minmax":
        constant = scale(torch.full((1, 3, 10, 10), -0.3))
        assert float(quantized(torch.tensor(-0.3), Codes.of(4, True, offset), constant)) == pytest.approx(
            -0.3, rel=0.07
        )
    with pytest.raises(RuntimeError, match="the observer saw no data"):
        scale()


def test_channels_have_a_search_of_their_own() -> None:
    weight = normal(4 * 200).view(4, 2, 10, 10) * torch.tensor([1.0, 10.0, 0.0, 1e-3]).view(4, 1, 1, 1)
    spec = Observer(kind="lp", p=2.4, candidates=100)
    observer = make_observer(spec, 4, True, (4, 1, 1, 1))
    observer.observe(weight)
    steps = observer.step()
    assert steps.shape == (4, 1, 1, 1) and float(steps[2]) == 1.0
    for k in (0, 1, 3):
        alone = RangeObserver(spec, 4, True)
        alone.observe(weight[k])
        assert float(steps[k]) == float(alone.step())


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"weights": {"kind": "mean_minmax"}}, "a weight has no images"),
        ({"activations": {"kind": "lsq"}, "offset": "activations"}, "an offset needs both ends"),
        ({"activations": {"kind": "lp", "p": 2.0, "candidates": 9, "ends": "apart"}}, "`ends: apart` needs"),
        ({"activations": {"kind": "cosine", "candidates": 9, "ends": "apart"}}, "observer cosine has no `ends`"),
        ({"activations": {"kind": "lp", "p": 2.0}}, "observer lp needs `candidates`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        UniformOptions.model_validate({"weights": {"kind": "minmax"}, "activations": {"kind": "minmax"}, **options})
