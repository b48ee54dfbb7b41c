"""ODOL: what it is by hand, and 0 for the outputs that it compares with, on every detector that it can read."""

import math
from typing import Any

import pytest
import torch
from detector_scales import drawn_batch, settle, small_scale
from test_replay import quantized

from bench.calibration.batches import Batches
from bench.calibration.replay import Replay
from bench.detectors.build import build_detector
from bench.detectors.locations import Locations, decoding_of
from bench.detectors.odol import aligned_iou, odol, target
from bench.errors import BenchError
from bench.methods.objective import make_objective
from bench.quantization.apply import site_names
from bench.schema.catalog import CATALOG, FAMILIES
from bench.schema.options.search import Objective

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

READ = [name for name in CATALOG if name != "faster-rcnn-r50"]


@pytest.mark.parametrize("name", READ)
def test_the_outputs_in_full_precision_cost_nothing_and_others_something(name: str) -> None:
    model: Any = build_detector(name, small_scale(name), ("a", "b", "c"), 0)
    settle(model, drawn_batch(64))
    model.eval()
    (batch,), decode = Batches(model, [drawn_batch(64)]), decoding_of(model)
    with torch.no_grad():
        found = decode(batch())
        images, places, classes = found.scores.shape
        assert (images, classes) == (2, 3) and found.boxes.shape == (2, places, 4)
        assert float(found.scores.min()) >= 0 and float(found.scores.max()) <= 1
        for threshold in (0.0, float(found.scores.amax(-1).median()), 0.99):
            kept = target(found, threshold)
            assert odol(decode(batch()), kept, 1.0) == 0.0
        for parameter in model.bbox_head.parameters():
            parameter.mul_(1.2)
        assert odol(decode(batch()), kept, 1.0) > 0


@pytest.mark.parametrize("name", READ)
def test_locations_are_what_the_detector_predicts(name: str) -> None:
    """Each detection of mmdet's own code is the score and, before it is cut at the image's border, the box of a
    location."""
    model: Any = build_detector(name, small_scale(name), ("a", "b", "c"), 0)
    settle(model, drawn_batch(64))
    model.eval()
    (batch,) = Batches(model, [drawn_batch(64)])
    with torch.no_grad():
        found = decoding_of(model)(batch())
        detections = batch("predict")
    unit = 64.0 if FAMILIES[CATALOG[name].family].predicts_set else 1.0
    for k, sample in enumerate(detections):
        boxes = (found.boxes[k] * unit).clamp(0, 64)
        seen = sample.pred_instances
        assert len(seen) > 0
        for score, label, box in zip(seen.scores, seen.labels, seen.bboxes, strict=True):
            same = (found.scores[k, :, label] - score).abs() < 1e-5
            assert ((boxes[same] - box.clamp(0, 64)).abs().amax(-1) < 1e-3).any()


def test_it_is_its_equation() -> None:
    fp = Locations(torch.tensor([[[0.8, 0.1], [0.02, 0.01], [0.0, 0.03]]]), torch.tensor([[[0.0, 0, 10, 10]] * 3]))
    scores = torch.tensor([[[0.5, 0.1], [0.3, 0.01], [0.0, 0.03]]])
    now = Locations(scores, torch.tensor([[[0.0, 0, 10, 5], [0, 0, 1, 1], [0, 0, 1, 1]]]))
    divergence = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    kept = target(fp, 0.05)
    assert kept.places == 1
    assert odol(now, kept, 2.0) == pytest.approx(divergence + 0.5 + 2.0 * (0.3 - 0.02) ** 2, rel=1e-5)


def test_outputs_that_are_not_numbers_cost_infinitely() -> None:
    fp = Locations(torch.full((1, 2, 1), 0.5), torch.zeros(1, 2, 4))
    kept = target(fp, 0.1)
    assert odol(fp, kept, 1.0) == 0.0
    assert odol(Locations(torch.full((1, 2, 1), float("nan")), fp.boxes), kept, 1.0) == math.inf
    assert odol(Locations(fp.scores, torch.full((1, 2, 4), float("nan"))), kept, 1.0) == 2.0
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 0, 0], [0, 0, float("inf"), 1]])
    assert aligned_iou(boxes, torch.tensor([[1.0, 0, 2, 2], [1, 1, 1, 1], [0, 0, 1, 1]])).tolist() == [0.5, 0.0, 0.0]


def test_a_detector_of_two_stages_is_refused() -> None:
    model = build_detector("faster-rcnn-r50", small_scale("faster-rcnn-r50"), ("a",), 0)
    with pytest.raises(BenchError, match="cannot be compared by location"):
        decoding_of(model)


@pytest.mark.parametrize("name", CATALOG)
def test_objectives_of_a_quantized_detector(name: str) -> None:
    """Both say the same twice, the training loss what mmdet adds up; quantizers in full precision cost nothing."""
    model, batches = quantized(name)
    with Replay(model, batches) as replay:
        loss = make_objective(Objective(kind="loss"), model, batches, replay, 2)
        first = [loss.loss(k) for k in range(2)]
        assert all(math.isfinite(value) and value > 0 for value in first)
        assert [loss.loss(k, keep=True) for k in range(2)] == first == [loss.loss(k) for k in range(2)]
        if name not in READ:
            return
        with torch.no_grad():
            model.training = True
            whole, _ = model.parse_losses(batches[0]("loss"))
        assert first[0] / 2 == pytest.approx(float(whole), rel=1e-5)
        model.training = False
        compared = make_objective(Objective(kind="odol", threshold=0.01, background=1.0), model, batches, replay, 2)
        assert [compared.loss(k) for k in range(2)] == [compared.loss(k, keep=True) for k in range(2)]
        assert sum(compared.loss(k) for k in range(2)) > 0
        for quantizer in site_names(model):
            quantizer.mode = "off"
        assert [compared.loss(k) for k in range(2)] == [0.0, 0.0]
