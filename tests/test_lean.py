"""The cheaper parts of detectors against mmdet's own: equal to the bit, the focal loss but for its last ones."""

import copy
from collections.abc import Callable
from importlib import import_module
from itertools import chain
from typing import Any

import pytest
import torch
from detector_scales import drawn_batch, losses, small_scale
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from torch import Tensor

from bench.detectors.build import build_detector
from bench.detectors.compat import load_mmdet
from bench.quantization import kernels

load_mmdet()
from mmcv.cnn.bricks.swish import Swish  # noqa: E402
from mmdet.models import data_preprocessors  # noqa: E402
from mmdet.models import losses as mmdet_losses  # noqa: E402
from mmdet.models.task_modules import assigners, prior_generators, samplers  # noqa: E402

from bench.detectors.lean import anchors, assign, box_math, focal, images, swish  # noqa: E402
from bench.detectors.lean.exchange import EXCHANGED  # noqa: E402
from bench.detectors.lean.host import on_host  # noqa: E402

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]
SEEDS = st.integers(0, 2**31)
Loss = Callable[..., Tensor]


class Case:
    """Logits, labels and weights of a focal loss, some of each kind."""

    def __init__(self, seed: int, rows: int, classes: int, spread: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = torch.randn(rows, classes, generator=generator) * spread
        self.labels = torch.randint(0, classes + 1, (rows,), generator=generator)
        weights = torch.rand(rows, generator=generator)
        self.weights = torch.where(weights < 0.2, 0.0, torch.where(weights < 0.8, 1.0, weights))

    def run(self, loss: Loss, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """The loss and its gradient in the logits."""
        logits = self.logits.to(dtype).requires_grad_()
        value = loss(logits, self.labels, self.weights.to(dtype), avg_factor=7.0)
        return value.detach(), torch.autograd.grad(value, logits)[0]


SIZES = st.integers(1, 300), st.integers(1, 90)


def formula(alpha: float) -> Loss:
    """The focal loss as its paper has it, with nothing subtracted from 1: mmdet's loses 1e-6 at a logit of -21, even in
    float64.
    """

    def loss(logits: Tensor, labels: Tensor, weights: Tensor, avg_factor: float) -> Tensor:
        true = torch.nn.functional.one_hot(labels, logits.shape[1] + 1)[:, :-1].bool()
        margin = torch.where(true, logits, -logits)
        each = -torch.where(true, alpha, 1 - alpha) * (-margin).sigmoid() ** 2 * torch.nn.functional.logsigmoid(margin)
        return 1.5 * (each * weights[:, None]).sum() / (avg_factor + torch.finfo(torch.float32).eps)

    return loss


def check_focal_loss(case: Case, alpha: float, reference: Loss) -> None:
    exact, slope = case.run(reference, torch.float64)
    value, gradient = case.run(focal.FusedFocalLoss(alpha=alpha, loss_weight=1.5))
    # Below the smallest normal number float32 has fewer digits.
    tiny = torch.finfo(torch.float32).tiny
    assert abs(value - exact) <= 1e-6 * exact + tiny
    assert (gradient - slope).abs().max() <= 1e-6 * slope.abs().max() + tiny


@settings(max_examples=60, deadline=None)
@given(SEEDS, *SIZES, st.floats(0.01, 12), st.floats(0.05, 0.95))
def test_the_focal_loss_is_its_formula_in_float64(
    seed: int, rows: int, classes: int, spread: float, alpha: float
) -> None:
    check_focal_loss(Case(seed, rows, classes, spread), alpha, formula(alpha))


@settings(max_examples=60, deadline=None)
@given(SEEDS, *SIZES, st.floats(0.01, 3), st.floats(0.05, 0.95))
def test_the_focal_loss_is_mmdets_in_float64(seed: int, rows: int, classes: int, spread: float, alpha: float) -> None:
    check_focal_loss(Case(seed, rows, classes, spread), alpha, mmdet_losses.FocalLoss(alpha=alpha, loss_weight=1.5))


def test_the_focal_loss_is_the_fused_one_and_equal_to_the_bit_between_runs() -> None:
    case, loss = Case(0, 3000, 20, 4.0), focal.FusedFocalLoss()
    value, gradient = case.run(loss)
    again = case.run(loss)
    assert torch.equal(value, again[0]) and torch.equal(gradient, again[1])
    logits = case.logits.requires_grad_()
    assert "_SumBackward" in graph(loss(logits, case.labels, case.weights, avg_factor=7.0).grad_fn)
    with kernels.using("eager"):
        assert "_SumBackward" not in graph(loss(logits, case.labels, case.weights, avg_factor=7.0).grad_fn)


def graph(function: Any) -> set[str]:
    """Names of the functions that a gradient goes through."""
    if function is None:
        return set()
    return {type(function).__name__}.union(*(graph(before) for before, _ in function.next_functions))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 100.0, -100.0, 0.0])
@pytest.mark.parametrize("label", [0, 1])
def test_extreme_logits_cost_what_they_do_in_mmdet(value: float, label: int) -> None:
    logits, labels = torch.tensor([[value]]), torch.tensor([label])
    ours, theirs = (loss(logits, labels, avg_factor=1.0) for loss in (focal.FusedFocalLoss(), mmdet_losses.FocalLoss()))
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-30, equal_nan=True)


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    with pytest.raises(ValueError, match=r"must lie in 0\.\.3"):
        focal.FusedFocalLoss()(torch.zeros(1, 3), torch.tensor([label]), avg_factor=1.0)


EAGER: dict[str, dict[str, Any]] = {
    "single losses": {"reduction_override": "none"},
    "sum": {"reduction_override": "sum"},
    "mean over all": {"avg_factor": None},
}


@pytest.mark.parametrize("case", EAGER)
def test_other_reductions_are_mmdets_to_the_bit(case: str) -> None:
    data = Case(0, 30, 5, 2.0)
    options = EAGER[case]
    ours, theirs = (
        loss(data.logits, data.labels, data.weights, **options)
        for loss in (focal.FusedFocalLoss(), mmdet_losses.FocalLoss())
    )
    assert torch.equal(ours, theirs)


def test_soft_targets_another_exponent_and_float64_are_mmdets_to_the_bit() -> None:
    data = Case(0, 30, 5, 2.0)
    soft = torch.rand(30, 5, generator=torch.Generator().manual_seed(1))
    for kind, logits, target in (
        ({}, data.logits, soft),
        ({"gamma": 1.5}, data.logits, data.labels),
        ({}, data.logits.double(), data.labels),
        ({"activated": True}, data.logits.sigmoid(), data.labels),
    ):
        ours, theirs = (
            loss(**kind)(logits, target, avg_factor=7.0) for loss in (focal.FusedFocalLoss, mmdet_losses.FocalLoss)
        )
        assert torch.equal(ours, theirs)


def test_a_second_derivative_is_mmdets() -> None:
    data = Case(0, 30, 5, 2.0)

    def second(loss: Loss) -> Tensor:
        logits = data.logits.clone().requires_grad_()
        value = loss(logits, data.labels, data.weights, avg_factor=7.0)
        (slope,) = torch.autograd.grad(value, logits, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), logits)[0]

    ours, theirs = second(focal.FusedFocalLoss()), second(mmdet_losses.FocalLoss())
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9) and ours.abs().max() > 0


NAMES = ("gt_inds", "labels", "max_overlaps")
"""What an assignment has of each anchor."""


def boxes(generator: torch.Generator, count: int, grid: int) -> Tensor:
    """Boxes with corners on a coarse grid, so that overlaps tie."""
    corners = torch.randint(0, grid, (count, 2, 2), generator=generator).float().sort(dim=1).values
    corners[:, 1] += 1
    return corners.reshape(count, 4)


@settings(max_examples=200, deadline=None)
@given(
    SEEDS, st.integers(0, 7), st.integers(1, 60), st.sampled_from([3, 8, 40]),
    st.sampled_from([0.3, (0.0, 0.3), (0.1, 0.4)]), st.sampled_from([0.0, 0.2, 0.5]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_assignment_by_overlap_and_its_samples_are_mmdets_to_the_bit(
    seed: int, count: int, priors: int, grid: int, below: Any, least: float, low_quality: bool, share: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = InstanceData(
        bboxes=boxes(generator, count, grid), labels=torch.randint(0, 9, (count,), generator=generator)
    )
    ignored = InstanceData(bboxes=boxes(generator, seed % 3, grid))
    given_ = InstanceData(priors=boxes(generator, priors, grid))
    options = dict(
        pos_iou_thr=0.5, neg_iou_thr=below, min_pos_iou=least, match_low_quality=low_quality, gt_max_assign_all=share,
        ignore_iof_thr=0.5,
    )  # fmt: skip
    ours, theirs = (
        kind(**options).assign(given_, truth, ignored) for kind in (assign.MaxIoUAssigner, assigners.MaxIoUAssigner)
    )
    assert ours.num_gts == theirs.num_gts
    for name in NAMES:
        mine, its = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == its.dtype and torch.equal(mine, its), name
    ours, theirs = (kind().sample(theirs, given_, truth) for kind in (assign.PseudoSampler, samplers.PseudoSampler))
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(theirs).items():
        mine = getattr(ours, name)
        same = mine.dtype == value.dtype and torch.equal(mine, value) if isinstance(value, Tensor) else mine == value
        assert same, name


@settings(max_examples=400, deadline=None)
@given(
    SEEDS, st.integers(1, 7), st.integers(1, 300), st.sampled_from([3, 8, 40]), st.sampled_from([1.0, 1 / 7, 1e-4]),
    st.sampled_from([0.3, 0.7, (0.0, 0.3), (0.1, 0.4)]), st.sampled_from([0.5, 0.7]), st.sampled_from([0.0, 0.2, 0.5]),
    st.booleans(), st.sampled_from([None, float("nan"), float("inf"), -float("inf"), 1e30]),
)  # fmt: skip
def test_the_fused_assignment_is_mmdets_and_the_eager_one_to_the_bit(
    seed: int, count: int, priors: int, grid: int, scale: float, below: Any, above: float, least: float,
    low_quality: bool, odd: float | None,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    drawn = [boxes(generator, of, grid) * scale for of in (count, priors)]
    if odd is not None:
        for some in drawn:
            some[torch.rand(some.shape, generator=generator) < 0.05] = odd
    truth = InstanceData(bboxes=drawn[0], labels=torch.randint(0, 9, (count,), generator=generator))
    given_ = InstanceData(priors=drawn[1])
    options = dict(pos_iou_thr=above, neg_iou_thr=below, min_pos_iou=least, match_low_quality=low_quality)
    fused = assign.MaxIoUAssigner(**options).assign(given_, truth)
    with kernels.using("eager"):
        eager = assign.MaxIoUAssigner(**options).assign(given_, truth)
    theirs = assigners.MaxIoUAssigner(**options).assign(given_, truth)
    for name in NAMES:
        mine, its = getattr(fused, name), getattr(theirs, name)
        assert mine.dtype == its.dtype and fused.num_gts == theirs.num_gts == count
        assert torch.allclose(mine, its, rtol=0, atol=0, equal_nan=True), name
        assert torch.allclose(mine, getattr(eager, name), rtol=0, atol=0, equal_nan=True), name
        # Minus zero is no other number, but has other bits.
        assert odd is not None or mine.dtype == torch.long or torch.equal(mine.view(torch.int32), its.view(torch.int32))


ASSIGNED: dict[str, tuple[bool, dict[str, Any]]] = {
    "as it is": (True, {}),
    "without claims": (True, {"match_low_quality": False, "gt_max_assign_all": False}),
    "ignored boxes that do not count": (True, {"ignored": 2}),
    "no ignored boxes": (True, {"ignored": 0, "ignore_iof_thr": 0.5}),
    "ignored boxes": (False, {"ignored": 2, "ignore_iof_thr": 0.5}),
    "eager": (False, {"path": "eager"}),
    "one claim a box": (False, {"gt_max_assign_all": False}),
    "half precision": (False, {"iou_calculator": {"type": "BboxOverlaps2D", "dtype": "fp16"}}),
    "float64": (False, {"dtype": torch.float64}),
    "gaps": (False, {"columns": 5}),
    "no boxes": (False, {"count": 0}),
    "no anchors": (False, {"priors": 0}),
}


@pytest.mark.parametrize("case", ASSIGNED)
def test_anchors_are_assigned_in_one_pass_where_it_serves(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, options = ASSIGNED[case]
    options = dict(pos_iou_thr=0.5, neg_iou_thr=0.3, **options)
    count, priors, ignored, dtype, columns = (
        options.pop(name, usual)
        for name, usual in (("count", 3), ("priors", 50), ("ignored", None), ("dtype", torch.float32), ("columns", 4))
    )
    path = options.pop("path", "auto")
    passes = import_module("bench.detectors.lean.assign_numba")
    calls, fused = [], passes.assign
    monkeypatch.setattr(passes, "assign", lambda *given_: calls.append(0) or fused(*given_))
    generator = torch.Generator().manual_seed(0)
    truth = InstanceData(bboxes=boxes(generator, count, 8).to(dtype), labels=torch.arange(count))
    wide = torch.zeros(priors, columns, dtype=dtype)
    wide[:, :4] = boxes(generator, priors, 8)
    given_ = InstanceData(priors=wide[:, :4])
    more = () if ignored is None else (InstanceData(bboxes=boxes(generator, ignored, 8)),)
    with kernels.using(path):
        ours, theirs = (
            kind(**options).assign(given_, truth, *more) for kind in (assign.MaxIoUAssigner, assigners.MaxIoUAssigner)
        )
    assert len(calls) == taken
    assert all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in NAMES)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 7), st.integers(1, 60))
def test_points_in_boxes_and_near_centres_are_mmdets(seed: int, count: int, points: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Whole and half numbers, so that points lie on the edges.
    places = torch.randint(0, 40, (points, 2), generator=generator) / 2
    strides = torch.tensor([1.0, 2, 4])[torch.randint(0, 3, (points, 1), generator=generator)].expand(-1, 2)
    given_ = torch.cat([places, strides], 1), boxes(generator, count, 20)
    ours, theirs = (
        kind().get_in_gt_and_in_center_info(*given_) for kind in (assign.SimOTAAssigner, assigners.SimOTAAssigner)
    )
    assert all(torch.equal(mine, its) for mine, its in zip(ours, theirs, strict=True))


MAPS = [(16, 12), (8, 6), (4, 3)]
GENERATORS: dict[str, dict[str, Any]] = {
    "AnchorGenerator": dict(strides=[8, 16, 32], ratios=[0.5, 1.0], scales=[4, 8]),
    "SSDAnchorGenerator": dict(strides=[8, 16, 32], ratios=[[2], [2, 3], [2]], min_sizes=[8, 16, 32],
                               max_sizes=[16, 32, 64], input_size=128),
    "MlvlPointGenerator": dict(strides=[8, 16, 32], offset=0),
}  # fmt: skip


@pytest.mark.parametrize("name", GENERATORS)
def test_anchors_and_flags_are_mmdets_and_made_once(name: str) -> None:
    ours, theirs = (getattr(of, name)(**GENERATORS[name]) for of in (anchors, prior_generators))
    more = {"with_stride": True} if name == "MlvlPointGenerator" else {}
    for maps in (MAPS, [(4, 4), (2, 2), (1, 1)], MAPS):
        made = ours.grid_priors(maps, device="cpu", **more)
        expected = theirs.grid_priors(maps, device="cpu", **more)
        assert all(torch.equal(mine, its) for mine, its in zip(made, expected, strict=True))
        again = ours.grid_priors(maps, device="cpu", **more)
        assert [level.data_ptr() for level in again] == [level.data_ptr() for level in made]
        for shape in ((128, 96, 3), (100, 70, 3)):
            flags = [of.valid_flags(maps, shape, device="cpu") for of in (ours, theirs)]
            assert all(torch.equal(mine, its) for mine, its in zip(*flags, strict=True))
    for side in range(40):
        ours.grid_priors([(side + 1, 1)] * 3, device="cpu")
    assert len(ours._kept) <= 16


@pytest.mark.parametrize("sides", [(64, 64), (50, 70)])
@pytest.mark.parametrize("swap", [True, False])
def test_images_of_a_batch_are_prepared_as_mmdets(sides: tuple[int, int], swap: bool) -> None:
    batch = drawn_batch(64, 3)
    batch["inputs"] = [image[:, : sides[0], : sides[1]] for image in batch["inputs"]]
    options = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=swap, pad_size_divisor=32, pad_value=114)
    ours, theirs = (
        of.DetDataPreprocessor(**options)(copy.deepcopy(batch), True) for of in (images, data_preprocessors)
    )
    assert torch.equal(ours["inputs"], theirs["inputs"]) and ours["inputs"].stride() == theirs["inputs"].stride()
    for mine, its in zip(ours["data_samples"], theirs["data_samples"], strict=True):
        assert mine.metainfo == its.metainfo
    batch["inputs"][1] = batch["inputs"][1][:, :40]
    ours, theirs = (of.DetDataPreprocessor(**options)(copy.deepcopy(batch)) for of in (images, data_preprocessors))
    assert torch.equal(ours["inputs"], theirs["inputs"])


@pytest.mark.parametrize("name", ["retinanet-r18", "atss-r50", "ssdlite-mbv2", "faster-rcnn-r50", "yolox-nano"])
def test_a_step_with_mmdets_own_parts_has_the_same_losses_and_gradients(name: str) -> None:
    """Here in one process, for dense heads; `python -m tests.same_steps` compares whole checkouts."""
    lean = build_detector(name, small_scale(name), ("a", "b", "c"), 0)
    own = copy.deepcopy(lean)
    back = {cheap: plain for plain, cheap in EXCHANGED.items()}
    changed = 0
    for module in own.modules():
        for part in [*vars(module).values(), module]:
            if type(part) in back:
                part.__class__ = back[type(part)]
                changed += 1
    assert changed >= 3
    values = []
    for model in (lean, own):
        torch.manual_seed(0)
        value = losses(model, drawn_batch(64))
        value.backward()
        values.append((value.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    (value, gradient), (expected, slope) = values
    assert abs(value - expected) <= 1e-6 * abs(expected)
    assert (gradient - slope).norm() <= 1e-5 * slope.norm()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (16, 16, 32, 32), (1, 1, 1, 1)])
def test_the_swish_is_mmcvs_to_the_bit(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = (torch.randn(shape) * 20).to(memory_format=layout)
    x[0, 0, 0, 0] = float("inf")
    grad = torch.randn(shape)
    found = []
    for module in (Swish(), swish.Swish()):
        own = x.clone().requires_grad_()
        y = module(own)
        y.backward(grad)
        assert own.grad is not None
        found.append((y.detach(), own.grad))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))


def test_the_swish_has_a_second_derivative() -> None:
    x = torch.randn(4, 5, requires_grad=True)
    slopes = []
    for module in (Swish(), swish.Swish()):
        (first,) = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        slopes.append(torch.autograd.grad(first.sum(), x)[0])
    assert torch.allclose(*slopes)


def test_a_users_own_subclass_stays_what_it_is() -> None:
    from bench.detectors.lean.exchange import exchange

    class Own(mmdet_losses.FocalLoss):  # type: ignore[misc]
        pass

    model = torch.nn.ModuleList([Own(), mmdet_losses.FocalLoss()])
    exchange(model)
    assert [type(module) for module in model] == [Own, focal.FusedFocalLoss]


def test_targets_are_made_where_the_ground_truth_is_and_sent_to_the_anchors() -> None:
    """The device `meta` stands for a GPU: what was sent has the shapes, and remembers the values."""
    head: Any = build_detector("retinanet-r18", small_scale("retinanet-r18"), tuple("abcd"), 0).bbox_head
    samples, sizes = drawn_batch(64)["data_samples"], [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]
    truth, facts = [sample.gt_instances for sample in samples], [sample.metainfo for sample in samples]
    priors, flags = head.get_anchors(sizes, facts, "cpu")
    *targets, count = head.get_targets(priors, flags, truth, facts)
    elsewhere = [[level.to("meta") for level in image] for image in priors]
    *sent, again = head.get_targets(elsewhere, flags, truth, facts)
    assert again == count > 0
    for there, here in zip(chain(*sent), chain(*targets), strict=True):
        assert there.is_meta and there.shape == here.shape and torch.equal(on_host(there), here)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 40))
def test_boxes_overlaps_and_their_gradients_are_mmdets_to_the_bit(seed: int, rows: int) -> None:
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
    from mmdet.structures.bbox import bbox_overlaps

    generator = torch.Generator().manual_seed(seed)
    corner, size = (torch.rand(rows, 2, generator=generator) * 50 for _ in range(2))
    anchors_ = torch.cat([corner, corner + size], 1)
    deltas = (torch.randn(rows, 4, generator=generator) * 3).requires_grad_()
    found = []
    for coder, overlap in (
        (box_math.DeltaXYWHBBoxCoder(), box_math.aligned_overlaps),
        (DeltaXYWHBBoxCoder(), lambda a, b: bbox_overlaps(a, b, is_aligned=True)),
    ):
        decoded = coder.decode(anchors_, deltas)
        overlaps = overlap(decoded, anchors_)
        found.append((decoded, overlaps, *torch.autograd.grad(overlaps.sum() + 0 * decoded.sum(), deltas)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("weights", ["all", "some", "none"])
@pytest.mark.parametrize("of", [None, 3.0])
def test_the_box_loss_and_its_gradient_are_mmdets_to_the_bit(weights: str, of: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    pred, target = (torch.randn(30, 4, generator=generator) for _ in range(2))
    kept = {"all": 1.0, "some": 0.5, "none": 0.0}[weights]
    weight = (torch.rand(30, 1, generator=generator) < kept).float().expand(30, 4)
    found = []
    for loss in (box_math.L1Loss(loss_weight=2.0), mmdet_losses.L1Loss(loss_weight=2.0)):
        logits = pred.clone().requires_grad_()
        value = loss(logits, target, weight, avg_factor=of)
        found.append((value, *torch.autograd.grad(value, logits)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)
