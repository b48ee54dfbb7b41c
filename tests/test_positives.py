"""Positive samples of the four dense heads: what methods see of them, and what a change of their losses does."""

import copy
import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from detector_scales import drawn_batch, losses, small_scale
from torch import Tensor

from bench.detectors.build import build_detector
from bench.detectors.positives import Positives, Reshape, reshaped
from bench.errors import BenchError
from bench.methods.hqod import HQOD, harmonious_iou_loss, tcorr_loss
from bench.methods.stack import MethodStack

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

CLASSES = ("a", "b", "c")
HEADS = ["retinanet-r18", "atss-r50", "ssdlite-mbv2", "yolox-tiny"]
HQOD_OPTIONS = {"terms": ["tcorr", "hiou"], "sigma": 1.5, "gamma": 0.8}


class Sample(NamedTuple):
    """One positive sample as the slow computation finds it."""

    label: int
    p: float
    u: float


@cache
def _built(name: str) -> Any:
    return build_detector(name, small_scale(name), CLASSES, 0)


def detector(name: str) -> Any:
    return copy.deepcopy(_built(name))


def seen(model: Any, batch: dict[str, list[Any]]) -> Positives:
    """The positive samples of a batch."""
    found: list[Positives] = []

    def look(positives: Positives) -> tuple[Tensor, Tensor]:
        found.append(positives)
        return positives.cls, positives.reg

    with reshaped(model, [look]):
        losses(model, batch)
    return found[0]


def logged(name: str, reshapes: list[Reshape]) -> dict[str, Tensor]:
    """Each loss of one step."""
    model = detector(name)
    with reshaped(model, reshapes):
        found: dict[str, Tensor] = model.parse_losses(
            model(**model.data_preprocessor(drawn_batch(64), True), mode="loss")
        )[1]
    return found


def gradients(name: str, reshapes: list[Reshape]) -> dict[str, Tensor]:
    """Each gradient of one step."""
    model = detector(name)
    with reshaped(model, reshapes):
        losses(model, drawn_batch(64)).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@cache
def plain(name: str) -> dict[str, Tensor]:
    return logged(name, [])


def unchanged(positives: Positives) -> tuple[Tensor, Tensor]:
    return positives.cls, positives.reg


def times_one(positives: Positives) -> tuple[Tensor, Tensor]:
    return positives.cls * 1.0, positives.reg + 0.0


@pytest.mark.parametrize("name", HEADS)
def test_a_method_without_effect_leaves_losses_and_gradients_bit_equal(name: str) -> None:
    same = logged(name, [unchanged, unchanged])
    assert same.keys() == plain(name).keys() and all(torch.equal(plain(name)[k], same[k]) for k in same)
    before, after = gradients(name, []), gradients(name, [unchanged])
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in after)


@pytest.mark.parametrize("name", HEADS)
def test_losses_times_one_are_a_change_of_exactly_zero(name: str) -> None:
    same = logged(name, [times_one])
    assert same.pop("loss_reshaped").item() == 0.0
    assert same.keys() == plain(name).keys() and all(torch.equal(plain(name)[k], same[k]) for k in same)


def raw_outputs(model: Any, batch: dict[str, list[Any]]) -> tuple[Any, Any]:
    data = model.data_preprocessor(batch, True)
    return model(data["inputs"], data["data_samples"], mode="tensor"), data["data_samples"]


def flat(level: Tensor, image: int, width: int) -> list[list[float]]:
    """The rows of one image and level, place by place and anchor by anchor, read one number after the other."""
    _, channels, height, across = level.shape
    return [
        [float(level[image, a * width + k, y, x]) for k in range(width)]
        for y in range(height)
        for x in range(across)
        for a in range(channels // width)
    ]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def iou(a: list[float], b: list[float]) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return across * down / (sum(areas) - across * down)


def decoded(anchor: list[float], delta: list[float], stds: tuple[float, ...]) -> list[float]:
    """A box from an anchor and its deltas; mmdet bounds the growth at 1000 / 16."""
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    dx, dy, dw, dh = (d * s for d, s in zip(delta, stds, strict=True))
    bound = abs(math.log(16 / 1000))
    dw, dh = min(max(dw, -bound), bound), min(max(dh, -bound), bound)
    x, y = (anchor[0] + anchor[2]) / 2 + dx * width, (anchor[1] + anchor[3]) / 2 + dy * height
    w, h = width * math.exp(dw), height * math.exp(dh)
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def slow_anchors(name: str, model: Any, batch: dict[str, list[Any]]) -> Iterator[Sample]:
    """Positive samples of an anchor head, in Python's own arithmetic; who belongs to whom says mmdet's assigner."""
    from mmengine.structures import InstanceData

    head = model.bbox_head
    outputs, samples = raw_outputs(model, batch)
    sizes = [tuple(level.shape[-2:]) for level in outputs[0]]
    levels = head.prior_generator.grid_priors(sizes, device="cpu")
    anchors = torch.cat(levels)
    per_level = ([len(level) for level in levels],) if name.startswith("atss") else ()
    for image, sample in enumerate(samples):
        truth = sample.gt_instances
        found = head.assigner.assign(InstanceData(priors=anchors), *per_level, truth)
        logits = [row for level in outputs[0] for row in flat(level, image, head.cls_out_channels)]
        deltas = [row for level in outputs[1] for row in flat(level, image, 4)]
        for k in (found.gt_inds > 0).nonzero().squeeze(1).tolist():
            at = int(found.gt_inds[k]) - 1
            label = int(truth.labels[at])
            if name.startswith("ssdlite"):
                p = math.exp(logits[k][label]) / sum(math.exp(x) for x in logits[k])
            else:
                p = sigmoid(logits[k][label])
            box = decoded(anchors[k].tolist(), deltas[k], tuple(head.bbox_coder.stds))
            yield Sample(label, p, iou(box, truth.bboxes[at].tolist()))


def slow_yolox(model: Any, batch: dict[str, list[Any]]) -> Iterator[Sample]:
    from mmengine.structures import InstanceData

    head = model.bbox_head
    outputs, samples = raw_outputs(model, batch)
    for image, sample in enumerate(samples):
        truth = sample.gt_instances
        logits, boxes, objects, priors = [], [], [], []
        for level, stride in enumerate(head.strides):
            across = outputs[1][level].shape[-1]
            logits += flat(outputs[0][level], image, 3)
            objects += flat(outputs[2][level], image, 1)
            for place, (dx, dy, dw, dh) in enumerate(flat(outputs[1][level], image, 4)):
                x, y = place % across * stride, place // across * stride
                cx, cy, w, h = x + dx * stride, y + dy * stride, math.exp(dw) * stride, math.exp(dh) * stride
                boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                priors.append([x + stride / 2, y + stride / 2, stride, stride])
        scores = [[math.sqrt(sigmoid(x) * sigmoid(o[0])) for x in row] for row, o in zip(logits, objects, strict=True)]
        predicted = InstanceData(
            bboxes=torch.tensor(boxes), scores=torch.tensor(scores), priors=torch.tensor(priors, dtype=torch.float)
        )
        found = head.assigner.assign(pred_instances=predicted, gt_instances=truth)
        for k in (found.gt_inds > 0).nonzero().squeeze(1).tolist():
            at = int(found.gt_inds[k]) - 1
            label = int(truth.labels[at])
            yield Sample(label, sigmoid(logits[k][label]), iou(boxes[k], truth.bboxes[at].tolist()))


@pytest.mark.parametrize("name", HEADS)
def test_score_and_iou_of_each_sample_agree_with_a_slow_computation(name: str) -> None:
    model, batch = detector(name), drawn_batch(64)
    # Scores and boxes that differ from place to place.
    for k, parameter in enumerate(model.bbox_head.parameters()):
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(k))
        parameter.data += 0.15 * noise
    with torch.no_grad():
        slow = slow_yolox(model, batch) if name.startswith("yolox") else slow_anchors(name, model, batch)
        expected = sorted(slow)
        found = seen(model, batch)
    measured = sorted(map(Sample, found.labels.tolist(), found.p.tolist(), found.u.tolist()))
    assert len({s.p for s in expected}) >= 4 and {s.label for s in expected} == {0, 2}
    assert max(s.u for s in expected) > 0.2
    assert [s.label for s in measured] == [s.label for s in expected]
    for ours, other in zip(measured, expected, strict=True):
        assert (ours.p, ours.u) == pytest.approx((other.p, other.u), abs=2e-5)


@pytest.mark.parametrize("name", HEADS)
def test_the_losses_of_the_samples_are_what_the_head_sums(name: str) -> None:
    model, batch = detector(name), drawn_batch(64)
    found = seen(model, batch)
    log = plain(name)
    total = found.reg.sum() / found.reg_normaliser
    torch.testing.assert_close(total, log["loss_bbox"], rtol=1e-5, atol=1e-6)
    assert found.count.item() == len(found.u)
    if name.startswith("yolox"):
        # Only its positive samples have a class loss; that of the others counts background, too.
        torch.testing.assert_close(found.cls.sum() / found.cls_normaliser, log["loss_cls"], rtol=1e-5, atol=1e-6)
    else:
        assert 0 < (found.cls.sum() / found.cls_normaliser).item() < log["loss_cls"].item()


@pytest.mark.parametrize("name", HEADS)
def test_losses_that_vanish_leave_the_loss_of_the_background(name: str) -> None:
    nothing: Reshape = lambda s: (torch.zeros_like(s.cls), torch.zeros_like(s.reg))  # noqa: E731
    log = logged(name, [nothing])
    found = seen(detector(name), drawn_batch(64))
    background = plain(name)["loss_cls"] - found.cls.sum() / found.cls_normaliser
    left = log["loss_cls"] + log["loss_bbox"] + log["loss_reshaped"]
    torch.testing.assert_close(left, background, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("normaliser", ["paper", "code"])
def test_hqod_adds_equation_9_to_the_loss_of_each_detector(name: str, normaliser: str) -> None:
    method = HQOD({**HQOD_OPTIONS, "normaliser": normaliser})
    log = logged(name, [method.reshape_losses])
    found = seen(detector(name), drawn_batch(64))
    added = (tcorr_loss(found.p, found.u) + 1.5 * harmonious_iou_loss(found.u)).sum()
    divisor = found.count if normaliser == "paper" else found.reg_normaliser
    torch.testing.assert_close(log["loss_reshaped"], added / divisor, rtol=1e-4, atol=1e-5)


def test_the_added_terms_train_scores_and_boxes() -> None:
    method = [HQOD({**HQOD_OPTIONS, "normaliser": "code"}).reshape_losses]
    before, after = gradients("retinanet-r18", []), gradients("retinanet-r18", method)
    for layer in ("retina_cls", "retina_reg"):
        assert not torch.equal(before[f"bbox_head.{layer}.weight"], after[f"bbox_head.{layer}.weight"])
    assert all(torch.isfinite(grad).all() for grad in after.values())


def test_only_atss_divides_box_losses_by_something_else_than_the_number_of_samples() -> None:
    for name in HEADS:
        found = seen(detector(name), drawn_batch(64))
        same = float(found.reg_normaliser) == pytest.approx(found.count.item())
        assert same is (not name.startswith("atss")), name


@pytest.mark.parametrize("name", HEADS)
def test_an_image_without_boxes_gives_no_samples_and_a_batch_without_any_no_term(name: str) -> None:
    batch = drawn_batch(64)
    both = seen(detector(name), batch)
    batch["data_samples"][0].gt_instances = batch["data_samples"][0].gt_instances[:0]
    one = seen(detector(name), batch)
    assert 0 < len(one.u) < len(both.u)
    batch["data_samples"][1].gt_instances = batch["data_samples"][1].gt_instances[:0]
    model = detector(name)
    with reshaped(model, [HQOD({**HQOD_OPTIONS, "normaliser": "paper"}).reshape_losses]):
        log = model.parse_losses(model(**model.data_preprocessor(batch, True), mode="loss"))[1]
    assert "loss_reshaped" not in log and all(torch.isfinite(value) for value in log.values())


def test_methods_reshape_in_the_order_of_the_row() -> None:
    double: Reshape = lambda s: (s.cls, 2 * s.reg)  # noqa: E731
    add: Reshape = lambda s: (s.cls, s.reg + 1)  # noqa: E731
    found = seen(detector("retinanet-r18"), drawn_batch(64))
    base, count = float(found.reg.sum() / found.reg_normaliser), len(found.u) / float(found.reg_normaliser)
    first = logged("retinanet-r18", [double, add])
    other = logged("retinanet-r18", [add, double])
    assert first["loss_reshaped"].item() == pytest.approx(base + count, rel=1e-5)
    assert other["loss_reshaped"].item() == pytest.approx(base + 2 * count, rel=1e-5)


def test_the_model_is_as_before_afterwards() -> None:
    model = detector("yolox-tiny")
    head, before = model.bbox_head, {k: set(vars(m)) for k, m in model.named_modules()}
    with reshaped(model, [unchanged]):
        assert "loss_by_feat" in vars(head)
        losses(model, drawn_batch(64))
    assert {k: set(vars(m)) for k, m in model.named_modules()} == before
    assert "sample" not in vars(head.sampler)
    assert not head.loss_cls._forward_hooks and not head.loss_bbox._forward_hooks


def test_a_detector_without_such_a_head_is_refused() -> None:
    model = detector("detr-r50")
    with (
        pytest.raises(BenchError, match=r"no losses of single samples: the head is no RetinaHead.* but DETRHead"),
        reshaped(model, [unchanged]),
    ):
        pass


def test_the_hook_is_one_of_the_protocol() -> None:
    stack = MethodStack([("hqod", HQOD({**HQOD_OPTIONS, "normaliser": "code"}))])
    assert len(stack.reshapes) == 1 and not stack.regularisers and not stack.finishes
