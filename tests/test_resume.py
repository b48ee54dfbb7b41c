"""Interrupted training goes on from its snapshot, and ends as if nothing had happened, to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from detector_scales import small_scale

from bench.data.dataset import Dataset
from bench.data.load import load
from bench.detectors.build import build_detector
from bench.detectors.pipeline import Draw, train_loader
from bench.engine.rate import in_steps
from bench.engine.training import Trained, train
from bench.errors import BenchError
from bench.plan.jobs import plan
from bench.schema.detector import Init
from bench.schema.load import load_suite
from bench.schema.protocol import begins_fresh
from bench.schema.recipe import Evaluation, Optimizer, Recipe

TIER = load_suite(SUITE, PROJECT).suite.tiers["smoke"]
SCALE = TIER.detectors["retinanet-r18"]
ADAMW = Optimizer(kind="adamw", lr=0.001, weight_decay=0.01)


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(TIER.data, "train", PROJECT, tmp_path_factory.mktemp("shapes"))


def run(recipe: Recipe, images: Dataset, folder: Path, stop_after: int | None = None) -> tuple[Trained, Any]:
    model = build_detector("retinanet-r18", SCALE, images.classes, 1)
    lengths = in_steps(recipe, len(images.coco["images"]))

    def loader(done: int) -> Any:
        draw = Draw(5, lengths.total * recipe.batch, done * recipe.batch)
        return train_loader(images, SCALE.input, recipe.augment, recipe.batch, draw)

    def progress(done: int, total: int, loss: float) -> None:
        assert total == lengths.total
        if done == stop_after:
            raise StoppedError

    def score() -> dict[str, float]:
        torch.rand(1)
        model.eval()
        return {"AP": float(model.backbone.bn1.running_mean.abs().sum())}

    trained = train(model, loader, recipe, lengths, 5, folder, [], [], score, progress)
    return trained, model.state_dict()


@pytest.mark.parametrize("name", ["ft", "adamw"])
@pytest.mark.parametrize("stop_after", [1, 5, 8])
def test_resumed_is_uninterrupted(name: str, stop_after: int, images: Dataset, tmp_path: Path) -> None:
    scored = Evaluation(first=2, every=2)
    base = TIER.recipes["w4a4"].model_copy(update={"length": 9, "snapshot_every": 3, "evaluation": scored})
    recipe = base if name == "ft" else base.model_copy(update={"optimizer": ADAMW})
    whole, weights = run(recipe, images, tmp_path / "whole")
    with pytest.raises(StoppedError):
        run(recipe, images, tmp_path / "cut", stop_after)
    assert (tmp_path / "cut" / "snapshot.pth").is_file() == (stop_after > 3)
    again, resumed = run(recipe, images, tmp_path / "cut")
    assert again == whole and len(whole.losses) == 9
    assert [one.step for one in whole.evaluations] == [2, 4, 6, 8]
    assert len({one.metrics["AP"] for one in whole.evaluations}) == 4
    assert all(torch.equal(weights[key], resumed[key]) for key in weights)


def test_a_broken_snapshot_is_refused(images: Dataset, tmp_path: Path) -> None:
    recipe = TIER.recipes["w4a4"].model_copy(update={"snapshot_every": 2})
    (tmp_path / "snapshot.pth").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(BenchError, match="not a snapshot"):
        run(recipe, images, tmp_path)


def test_snapshots_are_no_part_of_the_identity() -> None:
    from bench.schema.protocol import dump

    recipe = TIER.recipes["w4a4"]
    dumped = dump(recipe.model_copy(update={"snapshot_every": 5, "cost_s": 9.0}), "cost_s", "snapshot_every")
    assert dumped == dump(recipe, "cost_s", "snapshot_every") and "snapshot_every" not in dumped


@pytest.mark.parametrize("name", ["detr-r50", "deformable-detr-refine-r50", "dab-detr-r50", "retinanet-r18"])
def test_a_loaded_checkpoint_is_what_training_begins_with(name: str, images: Dataset, tmp_path: Path) -> None:
    """mmengine asks a model for its initial weights once more, and DETRs draw their encoder and decoder again."""
    scale = small_scale(name)
    still = {"length": 1, "optimizer": Optimizer(kind="sgd", lr=1e-30, weight_decay=0.0), "warmup": None, "clip": None}
    recipe = TIER.recipes["w4a4"].model_copy(update=still)
    drawn = {}
    for fresh in (False, True):
        model: Any = build_detector(name, scale, images.classes, 1)
        loaded = {key: value.detach().clone() for key, value in model.named_parameters()}

        def loader(done: int) -> Any:
            return train_loader(images, scale.input, recipe.augment, recipe.batch, Draw(5, recipe.batch))

        lengths, folder = in_steps(recipe, len(images.coco["images"])), tmp_path / str(fresh)
        train(model, loader, recipe, lengths, 5, folder, [], [], dict, lambda *_: None, None, fresh)
        drawn[fresh] = [
            key for key, value in model.named_parameters() if not torch.allclose(value, loaded[key], rtol=0, atol=1e-20)
        ]
    assert not drawn[False] and bool(drawn[True]) is (name != "retinanet-r18")


def test_which_jobs_begin_with_weights_that_were_drawn() -> None:
    fresh = {job.row.id: job.protocol.fresh for job in plan(load_suite("fisher_detr/deformable", PROJECT), "smoke")}
    assert fresh["atss-r50"] and fresh["deformable-detr-refine-r50"]  # a backbone alone is loaded
    assert not fresh["ft-w4"] and not fresh["qat-trace-w4"]


@pytest.mark.parametrize(
    ("kind", "starts", "part", "fresh"),
    [
        ("scratch", False, None, True),
        ("backbone", False, None, True),
        ("checkpoint", False, None, False),
        ("scratch", True, None, False),
        ("checkpoint", True, "backbone", True),
    ],
)
def test_what_begins_with_weights_that_were_drawn(kind: str, starts: bool, part: str | None, fresh: bool) -> None:
    init = Init(kind=kind, file=None if kind == "scratch" else "weights.pth")
    assert begins_fresh(init, starts, part) is fresh


def test_a_detr_that_goes_on_from_a_checkpoint_has_another_identity_than_before_the_mend() -> None:
    for job in plan(load_suite("fisher_detr/deformable", PROJECT), "smoke"):
        trained_on = job.protocol.recipe is not None and not job.protocol.fresh
        assert ("continued set" in job.protocol.versions) is trained_on, job.name
