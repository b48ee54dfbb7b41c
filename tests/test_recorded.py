"""Which rows a GPU may record: what is recorded does at every step what it did at the first."""

from typing import Any

import pytest
import torch
from detector_scales import drawn_batch, losses, settle, small_scale

from bench.detectors.build import build_detector
from bench.engine import recorded
from bench.methods.aqd import AQD
from bench.methods.fisher_trace import FisherTrace
from bench.methods.hqod import HQOD
from bench.methods.lsq import LSQ
from bench.methods.stack import MethodStack

LSQ_OPTIONS = {
    "range_test": "mqbench",
    "grad_scale": "batch",
    "weights": {"kind": "minmax"},
    "activations": {"kind": "ema_mse", "p": 2.0, "ema": 0.9},
}
HQOD_OPTIONS = {"terms": ["tcorr", "hiou"], "sigma": 1.5, "gamma": 0.8, "normaliser": "code"}


class Random(LSQ):
    """A user's, which says nothing: it may do something else at each step."""


class Waits(HQOD):
    """Another one's, which says that it does not repeat."""

    repeats = False


@pytest.mark.parametrize(
    ("methods", "repeats"),
    [
        ([], True),
        ([LSQ(LSQ_OPTIONS)], True),
        ([LSQ(LSQ_OPTIONS), HQOD(HQOD_OPTIONS)], True),
        ([AQD({**LSQ_OPTIONS, "sync": False})], True),
        ([LSQ({**LSQ_OPTIONS, "backend": "mqbench"})], False),
        ([Random(LSQ_OPTIONS)], False),
        ([LSQ(LSQ_OPTIONS), Waits(HQOD_OPTIONS)], False),
        ([LSQ(LSQ_OPTIONS), FisherTrace.__new__(FisherTrace)], False),
    ],
)
def test_only_methods_that_say_so_are_recorded(methods: list[Any], repeats: bool) -> None:
    assert MethodStack([(type(method).__name__, method) for method in methods]).repeats is repeats


@pytest.mark.parametrize("name", ["retinanet-r18", "atss-r50", "ssdlite-mbv2", "deformable-detr-r50"])
def test_the_loss_of_maps_that_were_made_before_is_the_plain_loss(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the recording, which needs a GPU; a head that is not known is left alone."""
    batch, model = drawn_batch(64), build_detector(name, small_scale(name), tuple("abcd"), 0)
    settle(model, batch)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    recordings: list[torch.Size] = []

    def graphed(maps: Any, sample: tuple[torch.Tensor], allow_unused_input: bool) -> Any:
        recordings.append(sample[0].shape)
        maps(*sample)
        return maps

    monkeypatch.setattr(recorded, "_can_record", lambda _: True)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    found = []
    for repeats in (False, True):
        model.load_state_dict(state)
        with recorded.recorded(model, repeats):
            for _ in range(2):
                torch.manual_seed(0)
                loss = losses(model, batch)
        gradients = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
        found.append(
            [loss, *(gradient for gradient in gradients if gradient is not None), *model.state_dict().values()]
        )
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    assert len(recordings) == (name != "deformable-detr-r50")
    assert "loss" not in vars(model)
