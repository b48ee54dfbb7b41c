"""On a GPU: the fused passes, 20 steps of every detector at full width, `midi` and `paper` through the runner.

`pytest -m gpu tests/test_gpu.py`; elsewhere these tests skip. VOC, COCO and the zoo's checkpoints are not needed: the
scenes are drawn, and scaled to the published input sizes.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROJECT, bench
from detector_scales import make_scale
from suite_text import write_suite
from test_kernels import RANGES, run, terms

from bench.data.load import load
from bench.quantization.grid import RULES, Grid
from bench.quantization.ranges import integer_range
from bench.records.store import Store
from bench.schema.catalog import CATALOG
from bench.schema.data import ShapesCoco, SplitCounts
from bench.schema.load import expanded, load_suite
from bench.schema.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    *(pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")),
]
STEPS = 20
SIDES = {"ssdlite-mbv2": 320, "yolox-tiny": 416, "yolox-nano": 416}
"""Published input sizes, px; 800 for the others."""
FULL = ["retinanet-r18", "retinanet-r50", "atss-r50", "ssdlite-mbv2", "yolox-tiny"]
"""Of HQOD's tables."""


@pytest.mark.parametrize("scheme", sorted(RULES))
@pytest.mark.parametrize(("bits", "signed"), RANGES)
def test_fused_is_eager(scheme: Any, bits: int, signed: bool) -> None:
    """Values and the gradient of x to the bit; the step's gradient within 1e-5 of the sum of its absolute terms."""
    generator = torch.Generator().manual_seed(bits)
    step, out = torch.tensor(0.37), torch.randn(300_007, generator=generator)
    x = torch.randn(300_007, generator=generator) * 0.37 * 2 ** (bits - 1)
    # Ties, and their neighbours.
    x[:1000] = torch.randint(-600, 600, (1000,), generator=generator) / 2 * step
    x[1000:2000] = torch.nextafter(x[:1000], torch.tensor(torch.inf))
    grid = Grid(scheme, *integer_range(bits, signed), 1.0 if scheme in ("tqt", "uniform") else 0.37)
    parameter = torch.log2(step) if scheme == "tqt" else step
    on_gpu = [tensor.cuda() for tensor in (x, parameter)]
    fused, eager = (run(path, *on_gpu, grid, out.cuda()) for path in ("triton", "eager"))
    assert torch.equal(fused[0], eager[0]) and torch.equal(fused[1], eager[1])
    if fused[2] is not None and eager[2] is not None:
        total = np.abs(terms(x, float(grid.step(parameter)), grid, out)).sum()
        assert abs(float(fused[2]) - float(eager[2])) <= 1e-5 * total
    assert torch.equal(fused[0].cpu(), run("eager", x, parameter, grid, out)[0])


def recipe(batch: int) -> dict[str, Any]:
    optimizer = {"kind": "adamw", "lr": 1e-4, "weight_decay": 1e-4}
    return {"unit": "step", "length": STEPS, "batch": batch, "optimizer": optimizer, "decay": {"kind": "constant"}}


@pytest.mark.parametrize("name", CATALOG)
def test_a_detector_trains_twenty_steps_at_full_width_and_predicts(name: str, tmp_path: Path) -> None:
    from bench.detectors.build import build_detector
    from bench.detectors.pipeline import Draw, train_loader
    from bench.detectors.predict import predict
    from bench.engine.rate import in_steps
    from bench.engine.training import train

    spec = ShapesCoco(kind="shapes-coco", side=320, images=SplitCounts(train=32, test=4))
    drawn, test = (load(spec, split, tmp_path, tmp_path / "data") for split in ("train", "test"))
    scale = make_scale(name, SIDES.get(name, 800))
    model: Any = build_detector(name, scale, drawn.classes, 0).to("cuda")
    how = Recipe.model_validate_json(json.dumps(recipe(4)))
    lengths = in_steps(how, 32)

    def loader(done: int) -> Any:
        return train_loader(drawn, scale.input, how.augment, how.batch, Draw(0, STEPS * how.batch, 0))

    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    losses = train(model, loader, how, lengths, 0, tmp_path / "work", [], [], dict, lambda *_: None).losses
    spent = time.perf_counter() - begin
    assert len(losses) == STEPS and all(torch.isfinite(torch.tensor(losses)))
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}
    found = predict(model, test, scale.input, scale.test.batch)
    assert found and all(0 <= detection["score"] <= 1 for detection in found)
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"\n{name}: {STEPS} steps of 4 images in {spent:.1f} s, peak {peak:.1f} GiB, "
          f"loss {losses[0]:.2f} to {losses[-1]:.2f}, {torch.cuda.get_device_name()}")  # fmt: skip


def twenty_steps(name: str, tier: str) -> str:
    """The suite with this tier alone: 20 steps a row, a few drawn scenes, no checkpoints of others."""
    suite = expanded(load_suite(name, PROJECT))
    at = suite["tiers"][tier]
    voc = at["data"]["kind"].endswith("voc")
    at["data"] = {"kind": "shapes-voc" if voc else "shapes-coco", "side": 320, "images": {"train": 64, "test": 8}}
    at["data"] |= {"difficult": "crowd"} if voc else {}
    at.pop("inits", None)
    for scale in at["detectors"].values():
        scale["init"] = {"kind": "scratch"}
    if "calibration" in at:
        at["calibration"] |= {"images": 8, "batch": 1}
    for key, declared in at["recipes"].items():
        # `null` stands for a checkpoint of the zoo.
        own = declared or recipe(batch=4)
        # As declared, 20 steps lie within the warm-up.
        warmup = {"kind": "exponential", "length": STEPS, "ratio": 0.001}
        changes = {"repeat": 1, "warmup": warmup, "evaluation": None, "optimizer": own["optimizer"]}
        at["recipes"][key] = own | recipe(own["batch"]) | changes
    for key in ("regime", "claims", "evidence", "published", "references"):
        suite.pop(key, None)
    for row in suite["rows"]:
        row.pop("published", None)
        if "pins" in row:
            row["pins"] = {tier: row["pins"][tier]}
    suite["tiers"] = {tier: at}
    return json.dumps(suite, indent=1)


@pytest.mark.parametrize(
    ("name", "tier", "rows"),
    [
        ("detectors/shapes_coco", "midi", []),
        ("hqod/table2", "midi", [f"{detector}-lsq-hqod-w4a4" for detector in FULL]),
        ("hqod/table2", "paper", [f"{detector}-lsq-hqod-w4a4" for detector in FULL]),
        ("hqod/table1", "paper", ["aqd-hqod-w2a2", "tqt-w2a2", "tqt-fixed-w2a2"]),
    ],
)
def test_a_tier_runs(name: str, tier: str, rows: list[str], tmp_path: Path) -> None:
    """Each row trains 20 steps with the declared batch, and is calibrated, scored and recorded there."""
    write_suite(tmp_path, twenty_steps(name, tier), name)
    bench(tmp_path, "run", name, "--tier", tier, "--jobs", "3", *(["--rows", *rows] if rows else []))
    records = list(Store(tmp_path).records())
    assert set(rows) <= {record.provenance.asked_by.split()[1] for record in records}
    for record in records:
        assert record.training is not None and record.training.steps == STEPS
        assert record.environment["device"] == torch.cuda.get_device_name()
        assert record.environment["kernels"].split()[0] == "triton"
        seconds = {phase: cost.wall_s for phase, cost in record.cost.phases.items()}
        print(f"\n{record.provenance.asked_by}: {seconds}, loss {record.training.last_loss:.2f}")


def test_the_focal_loss_is_the_cpus() -> None:
    from test_lean import Case

    from bench.detectors.lean import focal

    case, loss = Case(0, 3000, 20, 4.0), focal.FusedFocalLoss()
    value, gradient = case.run(loss)
    for name in ("logits", "labels", "weights"):
        setattr(case, name, getattr(case, name).cuda())
    ours, slope = case.run(loss)
    assert abs(ours.cpu() - value) <= 1e-6 * value
    assert (slope.cpu() - gradient).abs().max() <= 1e-6 * gradient.abs().max()


RECORDED = [
    *(("hqod/table1", row) for row in ("fp", "lsq-hqod-w4a4", "aqd-w2a2", "tqt-w4a4", "tqt-fixed-w4a4")),
    *(("hqod/table2", f"{name}-lsq-hqod-w4a4") for name in ("atss-r50", "ssdlite-mbv2")),
]


@pytest.mark.parametrize(("suite", "row"), RECORDED)
def test_recorded_passes_compute_the_same(suite: str, row: str) -> None:
    from gpu_steps import drawn_steps

    ours, plain = (drawn_steps(suite, row, "mini", 12, lambda *_: None, record) for record in (True, False))
    assert ours == pytest.approx(plain, rel=1e-6)
    print(f"\n{row}: {'equal to the bit' if ours == plain else 'not equal to the bit'}")


@pytest.mark.parametrize("row", ["fp", "lsq-w4a4", "lsq-hqod-w4a4", "aqd-hqod-w2a2"])
def test_no_step_of_retinanet_waits_for_the_gpu(row: str) -> None:
    from gpu_steps import steps

    told = steps(row, "mini")
    assert not told.waits
    print(f"\n{row}: {1000 * told.step_s:.1f} ms a step, {told.launches:.0f} kernels started by the host")
