"""The critical objective by hand, Fisher information against a loop, and the integer program against enumeration."""

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from detr_scenes import CLASSES, scene, small_detr
from torch import Tensor

from bench.calibration.fisher import fisher, hessian_traces
from bench.detectors.critical import Group, Objective
from bench.detectors.twice import differentiable_twice
from bench.errors import BenchError, UsageError
from bench.methods.fisher import allocate_bits, critical_group
from bench.methods.fisher_trace import weights_of
from bench.schema.options.fisher import CriticalOptions

GROUP = Group.of(("b", "e"), CLASSES)


def test_logits_labels_and_class_weights_of_a_softmax_head() -> None:
    """The worked example of docs/fisher.md: b and e of a to f are critical, the background comes last."""
    logits = torch.tensor([0.5, 2.0, 1.5, -1.0, 0.0, 1.0, 3.0])
    assert GROUP.logits(logits).tolist() == [2.0, 0.0, 1.5, 3.0]
    assert GROUP.labels(torch.tensor([0, 1, 2, 3, 4, 5])).tolist() == [2, 0, 2, 2, 1, 2]
    assert GROUP.class_weights(torch.tensor([1.0] * 6 + [0.1])).tolist() == pytest.approx([1.0, 1.0, 1.0, 0.1])
    leaf = logits.clone().requires_grad_()
    GROUP.logits(leaf).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [0, 1, 1, 0, 1, 0, 1]  # `other` is the largest, c


def test_logits_of_a_sigmoid_head_have_no_background() -> None:
    logits = torch.tensor([[0.5, 2.0, 1.5, -1.0, 0.0, 1.0]])
    assert GROUP.logits(logits).tolist() == [[2.0, 0.0, 1.5]]


def _losses(name: str, logits: Tensor, boxes: Tensor, labels: list[int], targets: Tensor) -> dict[str, float]:
    """The critical losses of one image of 100 px, from a head's raw outputs, as `Objective` has them."""
    from mmengine.structures import InstanceData

    from bench.detectors.critical import _both

    model: Any = small_detr(name)
    instances = InstanceData(bboxes=targets, labels=torch.tensor(labels))
    rest = (None, None) if name.startswith("deformable") else ()
    with _both(model, GROUP) as critical:
        model.bbox_head.loss_by_feat(
            logits[None, None], boxes[None, None], *rest, [instances], [{"img_shape": (100, 100)}]
        )
    return {key: float(value) for key, value in critical.items()}


BOXES = torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2], [0.5, 0.5, 0.1, 0.1]], dtype=torch.float64)
TARGETS = torch.tensor([[20.0, 20.0, 40.0, 40.0], [60.0, 60.0, 80.0, 80.0]], dtype=torch.float64)
"""The first two boxes, in px: the matching is plain, and box losses are 0."""


def test_the_softmax_heads_loss_by_hand() -> None:
    """Queries 1 and 2 find a `b` and a `c`, the third finds nothing. In the group: labels 0, 2 and background 3."""
    logits = torch.tensor([[0, 3, 1, 0, 0, 0, 0], [0, 0, 2, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 2]], dtype=torch.float64)
    found = _losses("detr-r50", logits, BOXES, [1, 2], TARGETS)
    # [b, e, other, background] -> [3, 0, 1, 0], [0, 0, 2, 0], [0, 0, 1, 2]
    each = [
        math.log(math.e**3 + math.e + 2) - 3,
        math.log(math.e**2 + 3) - 2,
        math.log(math.e**2 + math.e + 2) - 2,
    ]
    # Weights 1, 1 and the background's 0.1, also in what the sum is divided by.
    expected = (each[0] + each[1] + 0.1 * each[2]) / 2.1
    assert found["loss_cls"] == pytest.approx(expected, rel=1e-6)
    assert round(expected, 3) == 0.286
    assert found["loss_bbox"] == pytest.approx(0, abs=1e-9) and found["loss_iou"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("name", "weight"), [("deformable-detr-r50", 2.0), ("dab-detr-r50", 1.0)])
def test_the_sigmoid_heads_loss_by_hand(name: str, weight: float) -> None:
    """The same scene: three logits a query, [b, e, other], by the focal loss, alpha 0.25 and gamma 2, over 2 objects;
    mmdet gives it another weight in each detector."""
    logits = torch.tensor([[0, 3, 1, 0, 0, 0], [0, 0, 2, 1, 0, 0], [0, 0, 0, 0, 0, 1]], dtype=torch.float64)
    found = _losses(name, logits, BOXES, [1, 2], TARGETS)
    queries = [([3, 0, 1], 0), ([0, 0, 2], 2), ([0, 0, 1], None)]
    total = sum(_focal(x, k == true) for scores, true in queries for k, x in enumerate(scores))
    assert found["loss_cls"] == pytest.approx(weight * total / 2, rel=1e-5)
    assert round(total / 2, 3) == 0.852
    assert found["loss_bbox"] == pytest.approx(0, abs=1e-9) and found["loss_iou"] == pytest.approx(0, abs=1e-6)


def _focal(logit: float, true: bool) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) if true else -0.75 * p**2 * math.log(1 - p)


def test_a_matching_by_the_group_may_differ_from_the_detectors_own() -> None:
    """The cost of `other` is one number for all non-critical categories: queries that differ in them alone can swap."""
    logits = torch.tensor([[0, 0, 9, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 9]], dtype=torch.float64)
    found = _losses("detr-r50", logits, BOXES, [0, 2], TARGETS)
    # Query 1 says c where an a is, query 2 the reverse: both are `other`, and right.
    assert found["loss_cls"] < 0.01 and found["loss_bbox"] == pytest.approx(0, abs=1e-9)


def test_predictions_and_the_detectors_own_loss_never_see_the_group() -> None:
    model, batch = small_detr("detr-r50"), scene()
    own = Objective(model, None, 1.0)(**_inputs(batch)).item()
    both = Objective(model, GROUP, 1.0)(**_inputs(batch)).item()
    critical = Objective(model, GROUP, 0.0)(**_inputs(batch)).item()
    assert both == pytest.approx(own + critical, rel=1e-12) and critical != own
    assert Objective(model, GROUP, 2.5)(**_inputs(batch)).item() == pytest.approx(2.5 * own + critical, rel=1e-12)
    assert Objective(model, None, 1.0)(**_inputs(batch)).item() == own
    head: Any = model.bbox_head
    assert (head.num_classes, head.cls_out_channels) == (6, 7) and "loss_by_feat" not in vars(head)


def _inputs(batch: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": batch["inputs"], "samples": batch["data_samples"]}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["b", "x", "y"], "no 'x', 'y' among a, b, c, d, e, f"),
        ([], "the group is empty"),
        (list(CLASSES), "the group has all categories"),
    ],
)
def test_what_is_no_group(names: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Group.of(names, CLASSES)


def test_a_shuffled_group_has_as_many_categories_and_none_of_the_groups() -> None:
    model = small_detr("detr-r50")
    drawn = {critical_group(model, CriticalOptions(categories=("b", "e"), shuffled=k)).critical for k in range(20)}  # type: ignore[union-attr]
    assert len(drawn) > 3 and all(len(one) == 2 and not {1, 4} & set(one) for one in drawn)
    with pytest.raises(UsageError, match="4 cannot be drawn from the 2 others"):
        critical_group(model, CriticalOptions(categories=("a", "b", "c", "d"), shuffled=0))


def test_a_dense_head_has_no_critical_objective() -> None:
    from detector_scales import small_scale

    from bench.detectors.build import build_detector

    with pytest.raises(BenchError, match="DETRs of one stage; the head is ATSSHead"):
        Objective(build_detector("atss-r50", small_scale("atss-r50"), CLASSES, 0), GROUP, 0.0)


def test_fisher_information_is_the_mean_of_squared_single_gradients() -> None:
    """Against a plain loop with `backward`, and far from the square of the mean gradient."""
    model, batch = small_detr("detr-r50"), scene()
    weights = weights_of(model)
    objective = Objective(model, GROUP, 0.5)
    singles = [(batch["inputs"][k : k + 1], batch["data_samples"][k : k + 1]) for k in range(2)]
    found = fisher([lambda one=one: objective(*one) for one in singles], weights)
    gradients = []
    for single in singles:
        model.zero_grad()
        objective(*single).backward()
        gradients.append([torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights])
    for k, each in enumerate(found):
        expected = sum(one[k] ** 2 for one in gradients) / 2
        assert torch.allclose(each, expected, rtol=1e-5, atol=0)
    of_mean = sum(float(((gradients[0][k] + gradients[1][k]) / 2).square().sum()) for k in range(len(weights)))
    assert sum(float(each.sum()) for each in found) > 1.2 * of_mean


def test_hutchinsons_traces_are_those_of_the_hessian() -> None:
    a = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = lambda: x @ (a @ a.T) @ x / 2 + (x * y).sum() + (y**3).sum()  # noqa: E731
    traces = hessian_traces([loss, loss], [x, y], 4000, 1)
    assert float(traces[0]) == pytest.approx(float((a @ a.T).trace()), rel=0.05)
    # A diagonal Hessian is met by each probe; the coupling of x and y averages out.
    assert float(traces[1]) == pytest.approx(float((6 * y).sum()), abs=0.1)


def test_a_detectors_hessian_can_be_had() -> None:
    model, batch = small_detr("deformable-detr-r50"), scene()
    objective = Objective(model, None, 1.0)
    with differentiable_twice():
        single = lambda: objective(batch["inputs"][:1], batch["data_samples"][:1])  # noqa: E731
        traces = hessian_traces([single], weights_of(model), 1, 0)
    assert all(torch.isfinite(trace) for trace in traces) and any(trace != 0 for trace in traces)


def test_the_integer_program_finds_what_enumeration_finds() -> None:
    bits, layers = np.array([2, 3, 4, 8]), range(8)
    for seed in range(6):
        generator = np.random.default_rng(seed)
        weights = generator.integers(100, 100_000, (8, 1))
        cost = 10.0 ** generator.uniform(-4, 4, (8, 1)) * 4.0**-bits * generator.uniform(0.5, 2, (8, 4))
        size, budget = weights * bits / 8, float(weights.sum() * generator.uniform(2.2, 6) / 8)
        chosen = allocate_bits(cost, size, budget)
        every = np.array(list(itertools.product(range(4), repeat=8)))
        fits = every[size[layers, every].sum(1) <= budget]
        assert size[layers, chosen].sum() <= budget
        assert cost[layers, chosen].sum() == pytest.approx(cost[layers, fits].sum(1).min(), rel=1e-8)


def test_uniform_bits_at_exactly_the_budget_fit() -> None:
    weights = np.random.default_rng(1).integers(100, 10**7, (60, 1))
    bits = np.array([2, 4, 8])
    # Whatever is above 4 bits anywhere would exceed what is gained below 4 bits elsewhere.
    cost = np.where(bits < 4, 1e6, 1.0 / bits)
    assert allocate_bits(np.tile(cost, (60, 1)), weights * bits / 8, float(weights.sum() / 2)).tolist() == [1] * 60


def test_120_layers_take_less_than_a_second() -> None:
    bits = np.array([2, 3, 4, 5, 6, 8])
    allocate_bits([[1.0]], [[1.0]], 1)  # imports are not counted
    for seed in range(5):
        generator = np.random.default_rng(seed)
        weights = generator.integers(100, 2_000_000, (120, 1))
        cost = 10.0 ** generator.uniform(-5, 5, (120, 1)) * 4.0**-bits
        begun = time.process_time()
        allocate_bits(cost, weights * bits / 8, float(weights.sum() / 2))
        assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("cost", "size", "budget", "told"),
    [
        ([[1.0, 2.0]], [[10.0, 20.0]], 9, "the budget is 9, the smallest possible size 10"),
        ([[1.0, 2.0]], [[10.0]], 99, "cost is [1, 2] and size [1, 1]"),
        ([[1.0, math.nan]], [[1.0, 2.0]], 9, "cost must be a table of layers x choices of finite numbers"),
        ([[1.0, 2.0]], [[-1.0, 2.0]], 9, "a size is below 0"),
        ([], [], 9, "cost must be a table"),
    ],
)
def test_what_cannot_be_allocated(cost: Any, size: Any, budget: float, told: str) -> None:
    with pytest.raises(UsageError) as error:
        allocate_bits(cost, size, budget)
    assert told in str(error.value)
