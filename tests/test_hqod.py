"""HQOD's and HarDet's losses against their equations, by hand and in float64."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.detectors.positives import Positives
from bench.errors import UsageError
from bench.methods.hardet import HarDet, entropy
from bench.methods.hqod import HQOD, correlation, harmonious_iou_loss, tcorr_loss

E = math.e
HIOU_ONLY = {"terms": ["hiou"], "sigma": 1.5, "gamma": 0.8}
TCORR_ONLY = {"terms": ["tcorr"]}
BOTH = {"terms": ["tcorr", "hiou"], "sigma": 1.5, "gamma": 0.8}
HARDET = {"alpha": 1.5, "gamma": 0.8, "margin": 0.2}


def column(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def samples(count: int = 6, seed: int = 0) -> Positives:
    """Positive samples that have nothing extreme about them; all that may carry a gradient does."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    draw = torch.rand(3, count, generator=generator, dtype=torch.float64)
    return Positives(
        cls=(2 * draw[0]).requires_grad_(),
        reg=draw[1].requires_grad_(),
        scores=logits.sigmoid().requires_grad_(),
        labels=torch.arange(count) % 4,
        u=draw[2].requires_grad_(),
        cls_normaliser=5.0,
        reg_normaliser=2.5,
        count=torch.tensor(float(count)),
    )


@pytest.mark.parametrize(
    ("p", "u", "c", "tcorr", "hiou"),
    [
        (1, 1, 1, 0, 0),
        (1, 0, 0, 2 * (1 - 1 / E), 1),
        (0, 1, 0, 2 * (1 - 1 / E), 0),
        (0.5, 0.5, 0.5, math.exp(-0.5) - 1 / E, 1.5**0.8 * 0.5),
        (0, 0, 1, 0, 1),
        (0.9, 0.4, 0.9**0.4 * 0.4**0.9, 1.5 * (math.exp(-(0.9**0.4) * 0.4**0.9) - 1 / E), 1.4**0.8 * 0.6),
    ],
)
def test_the_losses_have_the_values_that_follow_from_the_equations(
    p: float, u: float, c: float, tcorr: float, hiou: float
) -> None:
    assert correlation(column(p), column(u)).item() == pytest.approx(c, abs=1e-12)
    assert tcorr_loss(column(p), column(u)).item() == pytest.approx(tcorr, abs=1e-12)
    assert harmonious_iou_loss(column(u)).item() == pytest.approx(hiou, abs=1e-12)


def test_the_sanity_values_of_the_paper_hold_in_float32() -> None:
    p, u = torch.tensor([1.0, 1.0, 0.5, 0.0]), torch.tensor([1.0, 0.0, 0.5, 0.0])
    expected = torch.tensor([0.0, 1.26424, 0.23865, 0.0])
    torch.testing.assert_close(tcorr_loss(p, u), expected, atol=1e-5, rtol=0)


def test_the_gradient_of_harmonious_iou_grows_with_the_iou() -> None:
    u = column(0.0, 0.5, 1.0)
    harmonious_iou_loss(u).sum().backward()
    assert u.grad is not None
    middle = 0.8 * 1.5**-0.2 * 0.5 - 1.5**0.8
    assert u.grad.tolist() == pytest.approx([-0.2, middle, -(2**0.8)], abs=1e-12)


def test_the_gradient_of_tcorr_flows_through_bases_and_exponents_and_not_through_its_first_factor() -> None:
    p, u = column(0.9, 0.2, 0.55), column(0.4, 0.7, 0.5)
    tcorr_loss(p, u).sum().backward()
    for k in range(3):
        x, y = p[k].item(), u[k].item()
        c, alpha = x**y * y**x, 1 + abs(x - y)
        by_p, by_u = c * (y / x + math.log(y)), c * (x / y + math.log(x))
        assert p.grad is not None and u.grad is not None
        assert p.grad[k].item() == pytest.approx(-alpha * math.exp(-c) * by_p, rel=1e-9)
        assert u.grad[k].item() == pytest.approx(-alpha * math.exp(-c) * by_u, rel=1e-9)


def test_the_gradients_agree_with_finite_differences() -> None:
    p, u = column(0.9, 0.2, 0.55, 0.03), column(0.4, 0.7, 0.5, 0.96)
    assert torch.autograd.gradcheck(correlation, (p, u))
    assert torch.autograd.gradcheck(harmonious_iou_loss, (u,))


def test_float32_gradients_are_those_of_float64() -> None:
    generator = torch.Generator().manual_seed(3)
    drawn = torch.rand(2, 200, generator=generator, dtype=torch.float64) * 0.98 + 0.01
    wide, narrow = drawn.clone().requires_grad_(), drawn.float().requires_grad_()
    for values in (wide, narrow):
        (tcorr_loss(values[0], values[1]) + harmonious_iou_loss(values[1])).sum().backward()
    assert wide.grad is not None and narrow.grad is not None
    torch.testing.assert_close(narrow.grad.double(), wide.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.0, 1e-38, 0.3, 1.0])
@pytest.mark.parametrize("u", [0.0, 1e-38, 0.3, 1.0])
def test_no_value_and_no_gradient_is_nan_at_the_ends(p: float, u: float, dtype: torch.dtype) -> None:
    score, iou = column(p, dtype=dtype), column(u, dtype=dtype)
    loss = tcorr_loss(score, iou) + harmonious_iou_loss(iou)
    loss.sum().backward()
    for tensor in (loss, score.grad, iou.grad):
        assert tensor is not None and torch.isfinite(tensor).all()


def test_a_logit_beyond_float32_has_a_finite_gradient() -> None:
    logit = torch.tensor([-200.0, 200.0], requires_grad=True)
    iou = torch.tensor([0.3, 0.0], requires_grad=True)
    tcorr_loss(logit.sigmoid(), iou).sum().backward()
    assert logit.grad is not None and torch.isfinite(logit.grad).all()


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[P\] both, found \[3\] and \[3, 1\]"):
        tcorr_loss(torch.ones(3), torch.ones(3, 1))


@pytest.mark.parametrize(
    ("options", "tcorr", "hiou"), [(BOTH, 1.0, 1.5), (TCORR_ONLY, 1.0, 0.0), (HIOU_ONLY, 0.0, 1.5)]
)
def test_hqod_adds_its_terms_to_the_box_loss_alone(options: dict[str, Any], tcorr: float, hiou: float) -> None:
    s = samples()
    cls, reg = HQOD({**options, "normaliser": "code"}).reshape_losses(s)
    added = tcorr * tcorr_loss(s.p, s.u) + hiou * harmonious_iou_loss(s.u)
    assert cls is s.cls
    torch.testing.assert_close(reg, s.reg + added, rtol=0, atol=1e-15)


def test_the_papers_normaliser_divides_the_added_terms_by_the_number_of_samples() -> None:
    s = samples()
    _, by_code = HQOD({**BOTH, "normaliser": "code"}).reshape_losses(s)
    _, by_paper = HQOD({**BOTH, "normaliser": "paper"}).reshape_losses(s)
    mean_of_added = (by_code - s.reg).sum() / 6
    torch.testing.assert_close((by_paper - s.reg).sum() / s.reg_normaliser, mean_of_added)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": ["tcorr", "hiou"], "normaliser": "code"}, "`terms` needs `sigma`"),
        ({"terms": ["tcorr"], "sigma": 1.5, "normaliser": "code"}, "`terms` without hiou has no `sigma`"),
        ({"terms": ["tcorr", "tcorr"], "normaliser": "code"}, "a term stands twice"),
        ({"terms": [], "normaliser": "code"}, "terms"),
        ({"terms": ["tcorr"]}, "normaliser"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        HQOD(options)


def by_hand(form: str, cls: float, reg: float, p: float, u: float, scores: list[float]) -> tuple[float, float]:
    """HarDet of one sample, in scalars."""
    loc = reg + 1.5 * (1 + u) ** 0.8 * (1 - u)
    weighed = (1 + math.exp(-cls)) * loc
    gap = abs(p - u)
    contrast = max(0.0, gap - 0.2) if form == "paper" else (gap if gap >= 0.2 else 0.0)
    beta = math.exp(-sum(x * math.log(x) for x in scores))
    return (1 + math.exp(-(loc if form == "paper" else weighed))) * cls, weighed + contrast / (1 + beta)


@pytest.mark.parametrize("form", ["paper", "hqod"])
def test_hardet_is_its_equations(form: str) -> None:
    s = samples(40)
    cls, reg = HarDet({"form": form, **HARDET}).reshape_losses(s)
    gaps = (s.p - s.u).abs()
    assert (gaps < 0.2).any() and (gaps > 0.2).any()
    for k in range(40):
        expected = by_hand(form, s.cls[k].item(), s.reg[k].item(), s.p[k].item(), s.u[k].item(), s.scores[k].tolist())
        assert (cls[k].item(), reg[k].item()) == pytest.approx(expected, rel=1e-12)


def test_nothing_is_detached_in_hardet() -> None:
    s = samples()
    cls, reg = HarDet({"form": "hqod", **HARDET}).reshape_losses(s)
    for loss in (cls, reg):
        grads = torch.autograd.grad(loss.sum(), [s.cls, s.reg, s.u], retain_graph=True)
        assert all((grad != 0).all() for grad in grads)


def test_the_entropy_of_scores_of_0_is_0_and_has_no_nan() -> None:
    scores = column(0.0, 1.0, 0.5).reshape(1, 3)
    scores.retain_grad()
    value = entropy(scores)
    value.sum().backward()
    assert value.item() == pytest.approx(0.5 * math.log(2))
    assert scores.grad is not None and torch.isfinite(scores.grad).all()
