"""Parts called alone, passes that break off, and the model called again in the middle of a step: each call of a layer
has the quantizer, and each level the norm, that it has in a whole pass."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch, losses
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.aqd import MultiLevelBN
from bench.methods.lsq import LSQ
from bench.methods.tqt import TqtFixed
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.quantizer import Quantizer
from bench.schema.bits import Bits
from bench.schema.load import load_suite

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

SUITE = load_suite("detectors/quantized", PROJECT).suite
NAMES = ("retinanet-r18", "faster-rcnn-r50", "deformable-detr-refine-r50")
SIDE = 64
OBSERVER = {"kind": "pot_mode", "rounding": "weight", "exponents": 1}
FIXED = {"weights": OBSERVER, "activations": OBSERVER, "image": OBSERVER}


def make(name: str, method: Any = None, adapt: Callable[[Any], None] = lambda model: None) -> Any:
    row = SUITE.row(f"{name}-lsq-w4a4")
    model: Any = build_detector(name, SUITE.tiers["smoke"].detectors[name], ("a", "b", "c"), 0)
    adapt(model)
    placement = trace_placement(model, drawn_batch(SIDE), SUITE.policies[row.policy or ""], Bits.parse("4/4"))
    method = method or LSQ(row.methods[0].options)
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, Batches(model, [drawn_batch(SIDE)]))
    return model.eval()


@pytest.fixture(scope="module", params=NAMES)
def quantized(request: pytest.FixtureRequest) -> Any:
    return make(request.param)


@contextmanager
def recorded(model: Any) -> Iterator[dict[str, list[Quantizer]]]:
    """The input quantizers that each layer uses, in order."""
    used: dict[str, list[Any]] = defaultdict(list)
    hooks = [
        layer.register_forward_pre_hook(lambda module, _, name=name: used[name].append(module.held.inputs[module.call]))
        for name, layer in quantized_layers(model).items()
    ]
    yield used
    for handle in hooks:
        handle.remove()


def whole(model: Any) -> dict[str, list[Any]]:
    with recorded(model) as used, torch.no_grad():
        next(iter(Batches(model, [drawn_batch(SIDE)])))()
    return dict(used)


def prepared(model: Any) -> Any:
    return model.data_preprocessor(drawn_batch(SIDE), False)


class BrokenError(Exception):
    pass


@contextmanager
def broken(module: nn.Module, at: int) -> Iterator[None]:
    """Its call of that number fails."""
    calls = iter(range(100))

    def fail(*_: Any) -> None:
        if next(calls) == at:
            raise BrokenError

    handle = module.register_forward_hook(fail)
    try:
        with pytest.raises(BrokenError):
            yield
    finally:
        handle.remove()


def test_features_alone(quantized: Any) -> None:
    expected = whole(quantized)
    data = prepared(quantized)
    for _ in range(2):
        with recorded(quantized) as used, torch.no_grad():
            quantized.extract_feat(data["inputs"])
        assert used and dict(used) == {n: expected[n] for n in used}
        with recorded(quantized) as used, torch.no_grad():
            quantized.backbone(data["inputs"])
        assert used and dict(used) == {n: expected[n] for n in used}
    assert whole(quantized) == expected


def test_the_loss_and_the_model_again(quantized: Any) -> None:
    model = copy.deepcopy(quantized)
    expected = whole(model)
    data = prepared(model.train())
    for call in (model.loss, lambda *args: model(*args, mode="loss")) * 2:
        with recorded(model) as used:
            call(data["inputs"], data["data_samples"])
        for name, quantizers in used.items():
            assert quantizers == expected[name], name
    assert whole(model.eval()) == expected


def shared(model: Any) -> dict[str, Any]:
    return {name: layer for name, layer in quantized_layers(model).items() if len(layer.held.inputs) > 1}


def test_a_pass_that_broke_off_shifts_none(quantized: Any) -> None:
    expected, data = whole(quantized), prepared(quantized)
    layers = shared(quantized)
    assert layers
    for layer in layers.values():
        with broken(layer, at=1), torch.no_grad():
            quantized(data["inputs"], data["data_samples"], mode="tensor")
        assert whole(quantized) == expected


def test_the_head_alone_after_it_broke_off(quantized: Any) -> None:
    """Without a pass of the model in between: the head's own pass starts anew."""
    expected = whole(quantized)
    head = quantized.rpn_head if hasattr(quantized, "rpn_head") else quantized.bbox_head
    given: list[Any] = []
    handle = head.register_forward_pre_hook(lambda _, args, kwargs: given.append((args, kwargs)), with_kwargs=True)
    with torch.no_grad():
        quantized.predict(*prepared(quantized).values())
    handle.remove()
    args, kwargs = given[0]
    with recorded(quantized) as used, torch.no_grad():
        head(*args, **kwargs)
    once = {name: list(quantizers) for name, quantizers in used.items()}
    assert once and any(len(expected[n]) > 1 for n in once)
    for name, quantizers in once.items():
        # The decoder calls a refining head's box branch before the head does.
        assert quantizers == expected[name][-len(quantizers) :], name
    (first, *_) = (layer for name, layer in shared(quantized).items() if name in once)
    with broken(first, at=0), torch.no_grad():
        head(*args, **kwargs)
    with recorded(quantized) as used, torch.no_grad():
        head(*args, **kwargs)
    assert dict(used) == once


def test_a_weight_is_kept_for_no_longer_than_a_pass() -> None:
    """Of quantizers that the convolution's one node does not serve: it may change between calls outside of a pass."""
    model = make("retinanet-r18", TqtFixed(FIXED))
    layer = model.bbox_head.cls_convs[0].conv
    x = torch.randn(1, layer.in_channels, 4, 4)
    with torch.no_grad():
        first = layer(x)
        layer.weight.mul_(-1)
        assert not torch.equal(layer(x), first)
        seen: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _, __, y: seen.append(y))
        feats = model.extract_feat(torch.randn(1, 3, SIDE, SIDE))
        for _ in range(2):  # two of five levels: the pass ends before its last call
            model.bbox_head(feats[:2])
            layer.weight.mul_(-1)
        handle.remove()
        assert len(seen) == 4 and not torch.equal(seen[0], seen[2])
    for _ in range(2):
        layer(x).sum().backward()


def test_a_shared_weight_is_quantized_once_a_pass() -> None:
    model = make("retinanet-r18", TqtFixed(FIXED))
    count = 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1

    model.bbox_head.cls_convs[0].conv.held.weight.register_forward_hook(counted)
    whole(model)
    assert count == 1
    losses(model.train(), drawn_batch(SIDE))
    assert count == 2


def levels(model: Any, call: Callable[[], Any]) -> list[int]:
    norm = model.bbox_head.cls_convs[0].bn
    seen: list[int] = []
    hooks = [level.register_forward_hook(lambda *_, k=k: seen.append(k)) for k, level in enumerate(norm.levels)]
    call()
    for handle in hooks:
        handle.remove()
    return seen


def test_levels_have_their_norms_in_every_kind_of_pass() -> None:
    model = make("retinanet-r18", adapt=lambda m: MultiLevelBN({"sync": False}).adapt_model(m)).train()
    data = prepared(model)
    feats: tuple[Tensor, ...] = model.extract_feat(data["inputs"])
    calls: list[Callable[[], Any]] = [
        lambda: model.loss(data["inputs"], data["data_samples"]),
        lambda: model.bbox_head(feats),
        lambda: model(data["inputs"], mode="tensor"),
    ]
    for call in calls:
        assert levels(model, call) == [0, 1, 2, 3, 4]
        with broken(model.bbox_head.cls_convs[0].bn.levels[2], at=0):
            call()
        assert levels(model, call) == [0, 1, 2, 3, 4]
