"""Suites of quantization after training: shared checkpoints, placements, and disjoint calibration sets."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, SUITE
from detector_scales import drawn_batch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bench.calibration.batches import Batches
from bench.data.load import load
from bench.detectors.build import build_detector
from bench.detectors.pipeline import image_ids, train_loader
from bench.engine import place as engine
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.plan.jobs import Job, plan
from bench.quantization.placement import Placement
from bench.records.store import Store
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.recipe import Augment

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

NAME = "detptq/retinanet_r18"
LOCATED = load_suite(NAME, PROJECT)


def jobs(name: str, row: str) -> list[Job]:
    return [job for job in plan(load_suite(name, PROJECT), "mini", (row,)) if job.row.id == row]


def test_the_models_and_lsq_are_those_of_table_1() -> None:
    """Repetition n starts from the model of Table I's repetition n; LSQ is trained once."""
    for own, theirs, repetitions in (("fp", "fp", 5), ("lsq-full", "lsq-w4a4", 1)):
        here, there = jobs(NAME, own), jobs(SUITE, theirs)
        assert [job.identity for job in here] == [job.identity for job in there[:repetitions]]


def test_each_repetition_has_its_own_model_and_its_own_calibration_set() -> None:
    models = [job.identity for job in jobs(NAME, "fp")]
    for row in ("qdrop-full", "random-p-3-body"):
        assert [job.protocol.start for job in jobs(NAME, row)] == models
        assert len({job.protocol.seeds.data for job in jobs(NAME, row)}) == 5


def test_every_baseline_stands_in_both_placements_and_is_not_trained() -> None:
    rows = {row.id: row for row in LOCATED.suite.rows if row.reported_only is None}
    for name, row in rows.items():
        if name.endswith("-body"):
            other = rows[name.removesuffix("-body") + "-full"]
            assert (row.methods, row.recipe, other.recipe) == (other.methods, None, None)
    assert sum(name.endswith("-body") for name in rows) >= 12


def test_six_methods_and_random_p_run_five_times_and_every_other_one_once() -> None:
    found = Counter(job.row.id for job in plan(LOCATED, "mini"))
    repeated = {row for row, number in found.items() if number == 5}
    keys = ("minmax", "l24", "best-p", "lapq", "detptq-odol", "qdrop")
    draws = tuple(f"random-p-{k}" for k in range(1, 6))
    assert repeated == {f"{name}-{where}" for name in keys + draws for where in ("full", "body")} | {"fp"}
    assert {found[row] for row in found if row not in repeated} == {1}
    assert Counter(job.row.id for job in plan(LOCATED, "mini", ("l1-full",), seeds=3))["l1-full"] == 3


@pytest.fixture(scope="module")
def placements() -> dict[str, Placement]:
    scale = LOCATED.suite.tiers["smoke"].detectors["retinanet-r18"]
    model = build_detector("retinanet-r18", scale, ("a", "b"), 0)
    policies = LOCATED.suite.policies
    return {
        name: trace_placement(copy.deepcopy(model), drawn_batch(64), policies[name], Bits.parse("4/4"))
        for name in ("body", "full")
    }


def test_body_leaves_the_image_the_fpns_outputs_and_the_head_in_full_precision(
    placements: dict[str, Placement],
) -> None:
    body, full = placements["body"], placements["full"]
    assert {site.module.split(".")[0] for site in body.weights} == {"backbone", "neck"}
    kept = {site.name for site in full.weights} - {site.name for site in body.weights}
    assert kept and all(name.startswith("bbox_head.") for name in kept)
    readers = {module for site in body.activations for module, _ in site.readers}
    # The image, and P6, an output of the FPN that its last convolution reads.
    assert {site.module for site in body.weights} - readers == {"backbone.conv1", "neck.fpn_convs.4.conv"}
    assert not any(module.startswith("bbox_head") for module in readers)
    assert {site.name: site.bits for site in body.weights}["backbone.conv1.weight"] == 8
    same = {site.name: (site.signed, site.bits) for site in full.activations}
    assert all(same[site.name] == (site.signed, site.bits) for site in body.activations)


def test_a_pattern_of_kept_inputs_must_fit(placements: dict[str, Placement]) -> None:
    policy = LOCATED.suite.policies["body"].model_copy(update={"keep_inputs": ("nothing",)})
    scale = LOCATED.suite.tiers["smoke"].detectors["retinanet-r18"]
    model = build_detector("retinanet-r18", scale, ("a", "b"), 0)
    with pytest.raises(BenchError, match="the pattern 'nothing' fits no layer"):
        trace_placement(model, drawn_batch(64), policy, Bits.parse("4/4"))


def test_repetitions_have_disjoint_calibration_images(tmp_path: Path) -> None:
    found: list[int | str] = []
    first = jobs(NAME, "minmax-body")[0].protocol
    data = first.data.model_copy(update={"images": first.data.images.model_copy(update={"train": 40})})
    train = load(data, "train", tmp_path, Store(tmp_path).data_cache)
    small = first.calibration.model_copy(update={"images": 10, "batch": 4})
    protocol: Any = None
    for repetition in range(4):
        seeds = first.seeds.model_copy(update={"repetition": repetition})
        protocol = first.model_copy(update={"seeds": seeds, "calibration": small})
        loader = train_loader(
            train, first.detector.scale.input, Augment(flip=0.0), 4, engine._draw(protocol, small, 40)
        )
        own = image_ids(loader)
        assert len(own) == 10 and list(own) == [s.img_id for batch in loader for s in batch["data_samples"]]
        found += own
    assert sorted(found) == sorted(image["id"] for image in train.coco["images"])
    late = protocol.model_copy(update={"seeds": first.seeds.model_copy(update={"repetition": 4})})
    with pytest.raises(BenchError, match="repetition 4 needs calibration images 40 to 50 of 40 training images"):
        engine._draw(late, small, 40)


class Net(nn.Module):
    def data_preprocessor(self, data: Any, training: bool) -> Any:
        return {"inputs": data, "data_samples": []}

    def forward(self, x: Tensor, samples: Any, mode: str) -> Tensor:
        return x


def test_batches_are_loaded_anew_at_each_walk_and_draw_nothing() -> None:
    import torch

    loader: Any = DataLoader(torch.arange(6).float().view(6, 1), batch_size=2)
    batches = Batches(Net(), loader)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    walks = [torch.cat([batch() for batch in batches]) for _ in range(2)]
    assert torch.equal(*walks) and torch.equal(torch.get_rng_state(), before) and len(batches) == 3


def test_a_method_is_chosen_among_the_rows_of_coco_real_on_images_that_calibrate_nothing() -> None:
    choice, real = (load_suite(f"detptq/coco_{name}", PROJECT).suite for name in ("choice", "real"))
    rows = {row.id: row for row in real.rows}
    for row in choice.rows:
        detector, _, method = row.id.partition("-")
        twin = rows[row.id if row.bits.is_fp else f"{detector}-w8a8-{method}"]
        assert row.scored == "tune"
        # Placements differ in which layers are at the edge, and at 8 bits all have the same.
        assert (row.detector, row.bits, row.methods) == (twin.detector, twin.bits, twin.methods)
    here, there = (suite.tiers["mini"] for suite in (choice, real))
    assert (here.detectors, here.calibration) == (there.detectors, there.calibration)
    named = {claim.rows[0].partition("-w8a8-")[2] for claim in real.claims if "-ort-" in claim.rows[1]}
    assert named == {"entropy", "p9999-dw"}
