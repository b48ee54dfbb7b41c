"""Two processes under torchrun train as one with the doubled batch does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import bench

from bench.records.store import Store

STEPS = 20
SUITE = """
title: "ATSS, alone and together"
policies:
  all:
    layers: [conv]
    readers: all
    first: [backbone.conv1]
    last: [bbox_head.atss_cls, bbox_head.atss_reg, bbox_head.atss_centerness]
    parts: [backbone, neck, bbox_head]
    unsigned_after: [relu, max_pool2d]
methods:   # a gradient scale that does not depend on how many images one process has
  lsq: {range_test: mqbench, grad_scale: feature, weights: {kind: minmax}, activations: {kind: minmax}}
rows:
  - {id: atss, label: ATSS, detector: atss-r50, bits: "32/32", recipe: short}
  - {id: more, label: ATSS, detector: atss-r50, bits: "32/32", recipe: more, start: atss}
  - id: quantized
    label: ATSS
    detector: atss-r50
    bits: "4/4"
    recipe: more
    start: atss
    policy: all
    methods: [lsq]
    pins: {weights: 35, activations: 46, edge: 15, unsigned: 37}
tiers:
  smoke:
    data: {kind: shapes-voc, side: 64, images: {train: 64, test: 4}, difficult: crowd}
    metric: {variant: coco, area_side: 64}
    detectors:
      atss-r50:
        input: {size: [64, 64]}
        test: {batch: 4, score_threshold: 0.0, nms_iou: 0.5, max_per_image: 10}
        init: {kind: scratch}
        depth: 18
        width: 8
        neck_width: 16
        head_convs: 2
        head_init_std: 0.08
    calibration: {images: 8, batch: 8}
    recipes:

"""
RECIPE = """
        unit: step
        length: {length}
        batch: 8
        optimizer: {{kind: sgd, lr: 0.01, momentum: 0.9, weight_decay: 0.0001}}
        decay: {{kind: constant}}
        batch_norm: frozen
        augment: {{flip: 0.0}}
"""


def make(root: Path) -> Path:
    path = root / "suites" / "ddp" / "atss.yaml"
    path.parent.mkdir(parents=True)
    text = SUITE.rstrip() + "\n      short:" + RECIPE.format(length=STEPS) + "      more:" + RECIPE.format(length=3)
    path.write_text(text, encoding="utf-8")
    return root


def losses(root: Path) -> dict[str, list[float]]:
    store = Store(root)
    found = {}
    for record in store.records():
        name = record.provenance.asked_by.split()[1]
        found[name] = json.loads(store.folder(record.identity).losses.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make(tmp_path_factory.mktemp("ddp") / "together")
    run = ["-m", "bench", "--root", str(root), "run", "ddp/atss", "--tier", "smoke"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("3 jobs: 3 executed") == 1, done.stdout
    return root


def test_the_loss_curve_is_that_of_one_process(together: Path, tmp_path: Path) -> None:
    alone = make(tmp_path / "alone")
    bench(alone, "run", "ddp/atss", "--tier", "smoke", "--rows", "atss")
    one, two = losses(alone), losses(together)
    # Quantized from one and the same model: the last bits of two models may round to other codes.
    begun = make(tmp_path / "begun")
    (start,) = [r.identity for r in Store(together).records() if r.provenance.asked_by.split()[1] == "atss"]
    shutil.copytree(Store(together).folder(start).path, Store(begun).folder(start).path)
    bench(begun, "run", "ddp/atss", "--tier", "smoke")
    one["quantized"] = losses(begun)["quantized"]
    assert [len(two["atss"]), len(two["more"]), len(two["quantized"])] == [STEPS, 3, 3]
    assert max(abs(a - b) for a, b in zip(one["atss"], two["atss"], strict=True)) < 1e-4
    # What operations read is quantized here too: without that the first loss differs by 3e-3. Later a value next to the
    # middle of two codes may get either of them.
    apart = [abs(a - b) for a, b in zip(one["quantized"], two["quantized"], strict=True)]
    assert apart[0] < 1e-5 and max(apart) < 1e-3
    assert one["atss"][0] - one["atss"][-1] > 0.01, "nothing was learnt, so nothing was compared"


def test_the_environment_says_how_many(together: Path) -> None:
    assert all(record.environment["processes"] == 2 for record in Store(together).records())
    again = bench(together, "run", "ddp/atss", "--tier", "smoke")
    assert "3 jobs: 3 done" in again.stdout


def test_a_batch_that_cannot_be_shared(together: Path) -> None:
    from bench.data.dataset import Dataset
    from bench.detectors.pipeline import Draw, train_loader
    from bench.errors import BenchError
    from bench.schema.detector import Input
    from bench.schema.recipe import Augment

    with pytest.raises(BenchError, match="7 images cannot be shared by 2"):
        train_loader(Dataset("d", together, {}), Input(size=(64, 64)), Augment(), 7, Draw(0, 14, size=2))
