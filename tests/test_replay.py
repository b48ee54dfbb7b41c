"""Passes that compute only what a change reaches, against whole ones, on every detector of the catalogue."""

from typing import Any

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch, settle, small_scale
from torch import Tensor

from bench.calibration.batches import Batches
from bench.calibration.replay import Replay
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply, site_names
from bench.quantization.placement import place
from bench.quantization.trace import record_reads
from bench.schema.bits import Bits
from bench.schema.catalog import CATALOG
from bench.schema.load import load_suite
from bench.schema.placement import Policy

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

MINMAX = {"kind": "minmax"}


def quantized(name: str, readers: str | None = None) -> tuple[Any, Batches]:
    """A small detector with 4-bit quantizers, and two batches."""
    suite = load_suite("detectors/quantized", PROJECT).suite
    policy = suite.policies[next(row for row in suite.rows if row.detector == name and row.policy).policy or ""]
    if readers is not None:
        policy = policy.model_copy(update={"readers": readers})
    model: Any = build_detector(name, small_scale(name), ("a", "b", "c"), 0)
    settle(model, drawn_batch(64))
    placement = trace_placement(model, drawn_batch(64), policy, Bits.parse("4/4"))
    method = Uniform({"weights": MINMAX, "activations": MINMAX})
    apply(model, placement, method.make_quantizers(placement))
    first, second = drawn_batch(64), drawn_batch(64)
    second["inputs"] = [255 - image for image in second["inputs"]]
    batches = Batches(model, [first, second])
    method.calibrate(model, batches)
    model.eval()
    return model, batches


def flat(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = [outputs[name] for name in sorted(outputs)]
    return [x for part in outputs for x in flat(part)]


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


@pytest.mark.parametrize("readers", ["layers", "all"])
@pytest.mark.parametrize("name", CATALOG)
def test_a_replayed_pass_is_a_whole_one_to_the_bit(name: str, readers: str) -> None:
    model, batches = quantized(name, readers)
    quantizers = list(site_names(model))
    with torch.no_grad():
        before = [batches[k]() for k in range(2)]
    with Replay(model, batches) as replay:
        for k in range(2):
            assert same(replay.run(k, keep=True, share=2), before[k])
        for quantizer in quantizers[:: max(1, len(quantizers) // 12)]:
            kept = quantizer.step.clone()
            quantizer.step.mul_(1.7)
            found = [replay.run(k) for k in (1, 0)]
            remembering = {part: part.module.__dict__["forward"] for part in replay.parts}
            for part in replay.parts:
                part.module.__dict__["forward"] = part.plain
            with torch.no_grad():
                whole = [batches[k]() for k in (1, 0)]
            for part, forward in remembering.items():
                part.module.__dict__["forward"] = forward
            assert same(found, whole)
            quantizer.step.copy_(kept)
        assert same(replay.run(0), before[0])
    with torch.no_grad():
        assert same(batches[1](), before[1])


def test_a_batch_by_its_number_is_that_of_a_walk() -> None:
    data = [{"inputs": image, "data_samples": k} for k, image in enumerate(torch.rand(5, 3, 2, 2))]

    def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
        return {"inputs": torch.stack([x["inputs"] for x in items]), "data_samples": [x["data_samples"] for x in items]}

    class Model(torch.nn.Module):
        def data_preprocessor(self, data: dict[str, Any], _: bool) -> dict[str, Any]:
            return data

    order = torch.utils.data.SubsetRandomSampler([3, 0, 4, 1, 2], generator=torch.Generator().manual_seed(1))
    loader = torch.utils.data.DataLoader(data, batch_size=2, sampler=list(order), collate_fn=collate)
    batches = Batches(Model(), loader)
    walked = [(batch.inputs, batch.samples) for batch in batches]
    assert [len(samples) for _, samples in walked] == [2, 2, 1]
    for k in (2, 0, 1):
        assert batches[k].samples == walked[k][1] and torch.equal(batches[k].inputs, walked[k][0])


def test_a_change_costs_what_it_reaches() -> None:
    """Of a head shared by five levels, one level's branch behind the quantizer; with no room everything runs again."""
    model, batches = quantized("retinanet-r18", "layers")
    with torch.no_grad():
        before = batches[0]()
    for room, share in ((2**30, 0.05), (0, 1.0)):
        with Replay(model, batches, room) as replay:
            replay.run(0, keep=True)
            done, whole = replay.computed, replay.whole[0]
            quantizer = model.quantizers["bbox_head/retina_cls/input1"]
            quantizer.step.mul_(2.0)
            changed = replay.run(0)
            assert 0 < (replay.computed - done) / whole <= share
            quantizer.step.div_(2.0)
            assert not same(changed, before) and same(replay.run(0), before)
            assert replay.whole[0] == whole


def test_nothing_before_a_change_runs_but_what_counts_its_operations() -> None:
    """A change in the head leaves the backbone as it is: not even its activation functions are called."""
    model, batches = quantized("retinanet-r18", "layers")
    seen: list[Any] = []
    for module in model.backbone.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda *found: seen.append(found[0]))
    for layers_alone in (False, True):
        with Replay(model, batches, layers_alone=layers_alone) as replay:
            replay.run(0, keep=True)
            seen.clear()
            model.quantizers["bbox_head/retina_cls/input1"].step.mul_(2.0)
            replay.run(0)
            assert bool(seen) == layers_alone


@pytest.mark.parametrize("block", [False, True])
def test_a_changed_bias_counts_as_a_change(block: bool) -> None:
    model, batches = quantized("retinanet-r18")
    with Replay(model, batches, layers_alone=not block) as replay:
        before = replay.run(0, keep=True)
        with torch.no_grad():
            model.bbox_head.retina_cls.bias.add_(0.5)
        after = replay.run(0)
    assert not same(after, before)
    with torch.no_grad():
        assert same(after, batches[0]())


@pytest.mark.parametrize("block", [False, True])
def test_what_is_changed_in_place_behind_a_layer_or_block_is_not_what_was_kept(block: bool) -> None:
    """The output is kept before its readers change it, and an input that was changed since counts as another."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 1)
            if block:
                self.a = torch.nn.Sequential(self.a)

        def data_preprocessor(self, data: dict[str, Any], _: bool) -> dict[str, Any]:
            return data

        def forward(self, inputs: Tensor, samples: Any, mode: str) -> Tensor:
            y = self.a(inputs).add_(1.0).relu_()
            z: Tensor = self.b(y)
            y.mul_(0.5)
            return z.sub_(y)

    model: Any = Net()
    data = {"inputs": torch.randn(1, 3, 4, 4), "data_samples": []}
    batches = Batches(model, [data])
    a = "a.0" if block else "a"
    policy = Policy(layers=("conv",), first=(a,), last=("b",), parts=("a", "b"), unsigned_after=("relu",))
    placement = place(model, record_reads(model, [a, "b"], batches[0]), policy, Bits.parse("4/4"))
    method = Uniform({"weights": MINMAX, "activations": MINMAX})
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, batches)
    model.eval()
    with torch.no_grad():
        before = batches[0]()
    with Replay(model, batches) as replay:
        replay.run(0, keep=True)
        for _ in range(3):
            assert torch.equal(replay.run(0), before)
        step = model.quantizers["b/weight"].step
        step.mul_(3.0)
        found = replay.run(0, keep=True)
        assert torch.equal(replay.run(0), found)
    with torch.no_grad():
        assert torch.equal(batches[0](), found)
