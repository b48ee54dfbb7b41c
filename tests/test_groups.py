"""What an optimizer trains: frozen stages, groups by their names; and what a regulariser may ask for."""

import copy
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from detector_scales import drawn_batch, losses
from torch import nn

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.engine.training import _freeze, _regularised, optim_wrapper
from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.recipe import Recipe, most_specific

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

TABLE = load_suite(SUITE, PROJECT).suite
LSQ_OPTIONS = TABLE.row("lsq-w4a4").methods[0].options
OBSERVERS = {name: LSQ_OPTIONS[name] for name in ("weights", "activations")}


@pytest.fixture(scope="module")
def fp() -> Any:
    return build_detector("retinanet-r18", TABLE.tiers["smoke"].detectors["retinanet-r18"], ("a", "b"), 0)


def quantized(fp: Any, method: Any) -> Any:
    model = copy.deepcopy(fp)
    placement = trace_placement(model, drawn_batch(64), TABLE.policies["hqod"], Bits.parse("4/4"))
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, Batches(model, [drawn_batch(64)]))
    return model


@pytest.fixture(scope="module")
def int4(fp: Any) -> Any:
    return quantized(fp, LSQ(LSQ_OPTIONS))


def recipe(frozen: int = -1, **groups: dict[str, float]) -> Recipe:
    optimizer = {"kind": "sgd", "lr": 1.0, "weight_decay": 0.5, "momentum": 0.9, "groups": groups}
    declared = {"unit": "step", "length": 4, "batch": 4, "decay": {"kind": "constant"}, "optimizer": optimizer}
    return Recipe.model_validate({**declared, "frozen_stages": frozen}, strict=False)


def frozen_steps(model: nn.Module) -> set[str]:
    steps = {
        n.removeprefix("quantizers.").removesuffix(".step"): p for n, p in model.named_parameters() if ".step" in n
    }
    return {name.replace("/", ".") for name, p in steps.items() if not p.requires_grad}


@pytest.mark.parametrize("stage", [-1, 0, 1, 2])
def test_step_sizes_of_frozen_stages_stay(int4: Any, stage: int) -> None:
    model = copy.deepcopy(int4)
    _freeze(model, recipe(stage))
    parts = {0: ("backbone.conv1.",), 1: ("backbone.layer1.",), 2: ("backbone.layer2.",)}
    inside = tuple(name for k in range(stage + 1) for name in parts[k])
    sites = {name.replace("/", ".") for name in model.quantizers}
    assert (
        frozen_steps(model) == {name for name in sites if name.startswith(inside)}
        if inside
        else not frozen_steps(model)
    )
    kept = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    wrapper = optim_wrapper(model, recipe(stage, **{".step": {"lr": 0.01}, "backbone": {"lr": 0.01}}))
    wrapper.update_params(losses(model.train(), drawn_batch(64)) * 1e-3)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[n], value) for n, value in kept.items())
    assert not torch.equal(
        after["quantizers.backbone/layer3/0/conv1/weight.step"],
        before["quantizers.backbone/layer3/0/conv1/weight.step"],
    )


def test_a_shared_input_of_a_frozen_and_a_trained_layer_is_trained(int4: Any) -> None:
    model = copy.deepcopy(int4)
    _freeze(model, recipe(2))
    # The output of stage 2 is read by stage 3 and by the neck, that of stage 3 by stage 4 and by the neck.
    assert model.quantizers["backbone/layer3/0/conv1/input"].step.requires_grad
    assert not model.quantizers["backbone/layer2/0/conv1/input"].step.requires_grad
    _freeze(model, recipe(4))
    for trained in ("backbone/layer3/0/conv1/input", "backbone/layer4/0/conv1/input"):
        assert model.quantizers[trained].step.requires_grad
    assert not model.quantizers["backbone/layer4/1/conv1/input"].step.requires_grad


def settings(model: nn.Module, declared: Recipe) -> dict[str, tuple[float, float]]:
    names = {id(p): n for n, p in model.named_parameters()}
    groups = optim_wrapper(model, declared).optimizer.param_groups
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_the_key_that_reaches_farthest_counts(int4: Any) -> None:
    groups = {
        "backbone": {"lr": 0.1},
        ".step": {"lr": 0.01, "decay": 0.0},
        "backbone.layer1": {"lr": 0.5},
        "quantizers": {"lr": 9.0},
    }
    for declared in (groups, dict(reversed(groups.items()))):
        found = settings(int4, recipe(**declared))
        assert found["quantizers.backbone/conv1/weight.step"] == (0.01, 0.0)
        assert found["quantizers.backbone/layer1/0/conv1/weight.step"] == (0.01, 0.0)
        assert found["quantizers.neck/lateral_convs/0/conv/weight.step"] == (0.01, 0.0)
        assert found["backbone.conv1.weight"] == (0.1, 0.5)
        assert found["backbone.layer1.0.conv1.weight"] == (0.5, 0.5)
        assert found["bbox_head.retina_cls.weight"] == (1.0, 0.5)


def test_a_part_has_its_step_sizes(int4: Any) -> None:
    found = settings(int4, recipe(**{"backbone": {"lr": 0.1}, "backbone.layer1": {"lr": 0.5}}))
    assert found["quantizers.backbone/conv1/weight.step"] == (0.1, 0.5)
    assert found["quantizers.backbone/layer1/0/conv1/weight.step"] == (0.5, 0.5)


def test_most_specific() -> None:
    assert most_specific(("a", "a.b", "b"), "x.a.b.c") == "a.b"
    assert most_specific(("layer1", "backbone.layer1", "bn"), "backbone.layer1.bn.weight") == "bn"
    assert most_specific((), "a") is most_specific(("b",), "a") is None


def test_a_group_that_fits_nothing_is_named(fp: Any, int4: Any) -> None:
    for model, key in (
        (int4, "backbne"),
        (fp, "backbne"),
        (int4, ".log2_threshold"),
        (int4, ".stepp"),
        (fp, "quantizers"),
    ):
        with pytest.raises(BenchError, match=f"the optimizer's group '{key}' fits no parameter of the model"):
            optim_wrapper(model, recipe(**{"backbone": {"lr": 0.1}, key: {"lr": 0.1}}))


def test_rows_without_quantizers_or_with_fixed_steps_may_share_the_recipe(fp: Any) -> None:
    shared = recipe(**{".step": {"lr": 0.1}, "backbone": {"lr": 0.5}})
    assert settings(fp, shared)["backbone.conv1.weight"] == (0.5, 0.5)
    assert settings(quantized(fp, Uniform(OBSERVERS)), shared)["backbone.conv1.weight"] == (0.5, 0.5)


def test_a_regulariser_may_run_the_model_again(int4: Any) -> None:
    """A Fisher trace asks for the loss, a distillation for the features; the detector's own loss comes back."""
    model = copy.deepcopy(int4).train()
    asked: list[float] = []

    def fisher(detector: Any, batch: dict[str, Any]) -> torch.Tensor:
        terms = detector(batch["inputs"], batch["data_samples"], mode="loss")
        assert not any(name.startswith("regulariser") for name in terms)
        total = sum(sum(v) if isinstance(v, list) else v for v in terms.values())
        asked.append(float(total.detach()))
        (gradient,) = torch.autograd.grad(total, detector.bbox_head.retina_cls.weight, create_graph=True)
        return gradient.square().sum()

    def features(detector: Any, batch: dict[str, Any]) -> torch.Tensor:
        return sum((f.square().mean() for f in detector.extract_feat(batch["inputs"])), torch.tensor(0.0)) * 1e-4

    data = model.data_preprocessor(drawn_batch(64), False)
    plain = model.loss(data["inputs"], data["data_samples"])
    with _regularised(model, [fisher, features], lambda: 0.5):
        for _ in range(2):
            terms = model(data["inputs"], data["data_samples"], mode="loss")
            assert set(terms) == {*plain, "regulariser_0_loss", "regulariser_1_loss"}
            sum(sum(v) if isinstance(v, list) else v for v in terms.values()).backward()
    assert len(asked) == 2 and "loss" not in model.__dict__
    assert all(p.grad is not None for n, p in model.named_parameters() if n.endswith(".step"))


def test_a_regulariser_that_fails_leaves_the_loss_as_it_was(int4: Any) -> None:
    model = copy.deepcopy(int4).train()
    data = model.data_preprocessor(drawn_batch(64), False)

    def failing(*_: Any) -> torch.Tensor:
        raise ZeroDivisionError

    with _regularised(model, [failing], lambda: 0.0):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                model.loss(data["inputs"], data["data_samples"])
    assert "loss" not in model.__dict__
