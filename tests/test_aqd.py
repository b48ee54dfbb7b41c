"""AQD: one BatchNorm per level in the head; rows that start from adapted and from quantized ones."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE, bench
from detector_scales import drawn_batch, losses, small_scale
from torch import nn

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.detectors.checkpoint import save_weights
from bench.engine.order import Start
from bench.engine.place import trace_placement
from bench.engine.start import load_start
from bench.errors import BenchError
from bench.methods.aqd import AQD, LevelNorm, MultiLevelBN
from bench.methods.lsq import LSQ
from bench.plan.jobs import plan
from bench.quantization.apply import apply, quantized_layers
from bench.records.record import Record
from bench.records.store import Store
from bench.run.inspect import placement_of
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.methods import facts

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

TABLE = load_suite(SUITE, PROJECT).suite
AQD_OPTIONS = TABLE.row("aqd-w4a4").methods[0].options
CLASSES = ("a", "b", "c")
PLAIN = {"name": "multi_level_bn", "options": {"sync": False}}


def detector(name: str = "retinanet-r18", seed: int = 0) -> Any:
    return build_detector(name, small_scale(name), CLASSES, seed)


def adapted(name: str = "retinanet-r18", seed: int = 0, sync: bool = False) -> Any:
    model = detector(name, seed)
    MultiLevelBN({"sync": sync}).adapt_model(model)
    return model


def level_norms(model: nn.Module) -> dict[str, LevelNorm]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LevelNorm)}


def outputs(model: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return [x for branch in next(iter(Batches(model.eval(), [drawn_batch(64)])))() for x in branch]


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(outputs(a), outputs(b), strict=True))


@pytest.mark.parametrize("name", ["retinanet-r18", "atss-r50"])
def test_each_head_convolution_gets_a_norm_per_level(name: str) -> None:
    plain, model = detector(name), adapted(name)
    assert set(level_norms(model)) == {f"bbox_head.{branch}_convs.0.bn" for branch in ("cls", "reg")}
    assert all(len(norm.levels) == 5 for norm in level_norms(model).values())
    names, before = dict(model.named_parameters()), dict(plain.named_parameters())
    gone = set(before) - set(names)
    assert gone and all(".bias" in n or ".gn." in n for n in gone) and all("_convs.0." in n for n in gone)
    assert all(torch.equal(before[n], names[n]) for n in set(before) & set(names))
    losses(model, drawn_batch(64)).backward()
    norm = model.bbox_head.cls_convs[0].bn
    assert norm.call == 0 and all(level.weight.grad is not None for level in norm.levels)


def test_each_level_has_its_own_statistics() -> None:
    model = adapted().train()
    inputs: list[torch.Tensor] = []
    conv = model.bbox_head.reg_convs[0]
    conv.conv.register_forward_hook(lambda _, __, result: inputs.append(result.detach().clone()))
    losses(model, drawn_batch(64))
    assert len(inputs) == 5
    for x, level in zip(inputs, conv.bn.levels, strict=True):
        assert torch.allclose(level.running_mean, 0.1 * x.mean((0, 2, 3)), atol=1e-6)
    outputs(model)
    with pytest.raises(RuntimeError):
        conv.bn(torch.zeros(2, 3, 4, 4))
    other = copy.deepcopy(model)
    other.bbox_head.reg_convs[0].bn.call = 3  # as a pass that broke off leaves it
    assert same(model, other)


@pytest.mark.parametrize("name", ["ssdlite-mbv2", "yolox-nano", "detr-r50"])
def test_a_head_that_shares_no_convolutions_is_refused(name: str) -> None:
    with pytest.raises(BenchError, match="shares no convolutions over pyramid levels"):
        MultiLevelBN({"sync": False}).adapt_model(detector(name))


def test_sync_bn_is_plain_in_one_process_and_refused_on_several_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, sync = adapted().train(), adapted(sync=True).train()
    assert isinstance(sync.bbox_head.cls_convs[0].bn.levels[0], nn.SyncBatchNorm)
    assert losses(plain, drawn_batch(64)) == losses(sync, drawn_batch(64))
    model = detector()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BenchError, match="declare `sync: false`"):
        MultiLevelBN({"sync": True}).adapt_model(model)


def test_aqd_is_multi_level_bn_and_lsq() -> None:
    assert facts("aqd").makes_quantizers and not facts("multi_level_bn").makes_quantizers
    model = detector()
    method = AQD(AQD_OPTIONS)
    method.adapt_model(model)
    count = len(level_norms(model))
    method.adapt_model(model)
    assert len(level_norms(model)) == count == 2
    located = load_suite(SUITE, PROJECT)
    jobs = {job.row.id: job for job in plan(located, "smoke")}
    aqd, lsq = (placement_of(jobs[row], PROJECT) for row in ("aqd-w4a4", "lsq-w4a4"))
    assert (aqd.weights, aqd.activations) == (lsq.weights, lsq.activations)
    assert sum(".bn.levels." in n for n in aqd.fp) == 2 * 4 * 2 * 5, "weight and bias of 8 convolutions at 5 levels"


def test_the_start_of_an_adapted_row_is_loaded_as_it_was(tmp_path: Path) -> None:
    origin = adapted()
    losses(origin, drawn_batch(64))  # moves the statistics
    digest = save_weights(origin, tmp_path / "fp.pth")
    model = detector(seed=1)
    with pytest.raises(BenchError, match=r"fp\.pth"):
        load_start(model, Start(checkpoint=tmp_path / "fp.pth", sha256=digest))
    syncbn = next(job for job in plan(load_suite(SUITE, PROJECT), "smoke") if job.row.id == "syncbn-fp")
    load_start(model, Start(checkpoint=tmp_path / "fp.pth", sha256=digest, lineage=(syncbn.protocol,)))
    AQD(AQD_OPTIONS).adapt_model(model)
    assert same(origin, model)


@pytest.mark.parametrize("name", ["retinanet-r18", "detr-r50"])
def test_of_a_quantized_start_the_weights_are_taken_and_the_quantizers_made_anew(name: str, tmp_path: Path) -> None:
    located = load_suite("detectors/quantized", PROJECT)
    suite = located.suite
    row = suite.row(f"{name}-lsq-w4a4")
    policy, method = suite.policies[row.policy or ""], LSQ(row.methods[0].options)

    def quantize(model: Any, bits: str) -> Any:
        placement = trace_placement(model, drawn_batch(64), policy, Bits.parse(bits))
        apply(model, placement, method.make_quantizers(placement))
        method.calibrate(model, Batches(model, [drawn_batch(64)]))
        return model

    def fresh(seed: int) -> Any:
        return build_detector(name, suite.tiers["smoke"].detectors[name], CLASSES, seed)

    first = quantize(fresh(0), "4/4")
    digest = save_weights(first, tmp_path / "w4.pth")
    second = fresh(1)
    behind = next(job.protocol for job in plan(located, "smoke") if job.row.id == row.id)
    load_start(second, Start(checkpoint=tmp_path / "w4.pth", sha256=digest, lineage=(behind,)))
    quantize(second, "2/2")
    layers, earlier = quantized_layers(second), quantized_layers(first)
    assert layers.keys() == earlier.keys()
    assert all(torch.equal(layers[n].weight, earlier[n].weight) for n in layers)
    direct = quantize(fresh(0), "2/2")
    steps = {n: q.step for n, q in second.quantizers.items()}
    assert all(torch.equal(step, direct.quantizers[n].step) for n, step in steps.items())
    assert any(not torch.equal(step, first.quantizers[n].step) for n, step in steps.items())
    assert {q.bits for q in second.quantizers.values()} == {2, 8}


def test_a_row_that_takes_a_backbone_inherits_no_adaptation_of_the_head(tmp_path: Path) -> None:
    origin = adapted()
    digest = save_weights(origin, tmp_path / "fp.pth")
    model = detector("atss-r50", seed=1)
    load_start(model, Start(checkpoint=tmp_path / "fp.pth", sha256=digest), "backbone")
    mine, theirs = model.backbone.state_dict(), origin.backbone.state_dict()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)
    assert not level_norms(model)
    row = TABLE.row("aqd-w4a4").model_copy(update={"start_part": "backbone"})
    job = next(job for job in plan(load_suite(SUITE, PROJECT), "smoke") if job.row.id == "aqd-w4a4")
    assert [earlier.row.id for earlier in job.lineage] == ["syncbn-fp"]
    assert dataclasses.replace(job, row=row).lineage == ()


def suite_of_a_chain() -> dict[str, Any]:
    """FP with multi-level BN -> AQD at INT4, and the same without gradient scale -> AQD at INT2."""
    head = {"detector": "retinanet-r18", "policy": "hqod", "recipe": "w2a2"}

    def quantized(row: str, bits: str, start: str, **changes: Any) -> dict[str, Any]:
        use = {"name": "aqd", "options": AQD_OPTIONS | changes}
        return {"id": row, "label": row, "bits": bits, "start": start, "methods": [use], **head}

    rows = [
        {**head, "id": "fp", "label": "fp", "bits": "32/32", "recipe": "fp", "policy": None, "methods": [PLAIN]},
        quantized("w4", "4/4", "fp"),
        quantized("w4-unscaled", "4/4", "fp", grad_scale="none"),
        quantized("w2", "2/2", "w4"),
    ]
    tier = TABLE.tiers["smoke"].model_dump(mode="json", exclude_none=True)
    tier["metric"] = {"variant": "coco", "area_side": 64}
    tier["recipes"] = {name: tier["recipes"][name] for name in ("fp", "w2a2")}
    policy = TABLE.policies["hqod"].model_dump(mode="json")
    return {"title": "chain", "policies": {"hqod": policy}, "rows": rows, "tiers": {"smoke": tier}}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    root = tmp_path_factory.mktemp("chain")
    file = root / "suites" / "x" / "chain.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(suite_of_a_chain()), encoding="utf-8")
    bench(root, "run", "x/chain", "--tier", "smoke", "--jobs", "2")
    return {record.provenance.asked_by.split()[1]: record for record in Store(root).records()}


def test_a_row_starts_from_a_quantized_row_that_starts_from_an_adapted_one(chain: dict[str, Record]) -> None:
    assert set(chain) == {"fp", "w4", "w4-unscaled", "w2"}
    pinned = TABLE.row("aqd-w4a4").pins["smoke"]
    assert all(chain[row].placement == pinned for row in ("w4", "w4-unscaled", "w2"))
    assert "backbone.layer1.0.conv1.weight int2" in chain["w2"].placement_sites


def test_without_the_gradient_scale_the_declared_sgd_trains_another_model(chain: dict[str, Record]) -> None:
    scaled, unscaled = chain["w4"].training, chain["w4-unscaled"].training
    assert scaled is not None and unscaled is not None
    assert scaled.first_loss == unscaled.first_loss, "the same start, images and step sizes"
    assert scaled.last_loss != unscaled.last_loss
