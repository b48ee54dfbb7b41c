"""Whether a quantized row ends where it does in another checkout: `python -m tests.same_rows --base DIR`.

LSQ at INT4 with the schedule of Table I at tier `mini`, three seeds in each checkout, all from the committed
full-precision model of that table, and all scored here. The placement is `readers: layers`, which both can express.
Printed are what the two sides' protocols and quantizers differ in, how far the losses of their first steps lie apart,
each mAP, and the difference of the two means with its 95 % t interval; one without 0 ends in status 1. So do, by
chance, one in twenty comparisons of equal code.

A run takes about three minutes of one core. `--work DIR` keeps the runs, and an interrupted comparison goes on there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

from bench.data.load import load
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.plan.changes import differences
from bench.records.store import Store
from bench.schema.load import load_suite
from bench.verdict.baseline import load as load_baseline
from bench.verdict.restore import kept_checkpoint

HERE = Path(__file__).resolve().parents[1]
TABLE = load_suite("hqod/table1", HERE)
TIER = TABLE.suite.tiers["mini"]
ROW = TABLE.suite.row("lsq-layers-w4a4")
SUITE = "same/rows"
STEPS = (1, 10, 100)
"""After which the losses are compared."""


class Run(NamedTuple):
    """One quantized run of a side."""

    record: dict[str, Any]
    losses: list[float]
    points: float
    """mAP as scored here."""


def suite(weights: str, seeds: int) -> dict[str, Any]:
    """A suite that both checkouts read: the file of weights as row FP, and the quantized row that starts from it."""
    written: dict[str, Any] = {"exclude_unset": True, "exclude_none": True, "mode": "json"}
    detector = TIER.scale(ROW).model_dump(**written) | {"init": {"kind": "checkpoint", "file": weights}}
    kept = ROW.model_dump(**written, include={"label", "detector", "bits", "recipe", "start", "policy"})
    quantized = kept | {"id": "lsq", "pins": {"mini": ROW.pins["mini"].model_dump()}}
    recipe, calibration = TIER.recipe(ROW), TIER.calibration
    assert recipe is not None and calibration is not None
    return {
        "title": "LSQ at INT4, from one model",
        "policies": {"layers": TABLE.suite.policies["layers"].model_dump(**written, exclude={"pins", "readers"})},
        "rows": [
            {"id": "fp", "label": "FP", "detector": ROW.detector, "bits": "32/32"},
            quantized | {"methods": [use.model_dump(**written) for use in TIER.methods(ROW)]},
        ],
        "tiers": {
            "mini": {
                "data": TIER.data.model_dump(**written),
                "metric": TIER.metric.model_dump(**written),
                "detectors": {ROW.detector: detector},
                "calibration": calibration.model_dump(**written),
                # To be scored on the way changes nothing in training.
                "recipes": {"w4a4": recipe.model_dump(**written, exclude={"evaluation"})},
                "seeds": seeds,
            }
        },
    }


def run(checkout: Path, root: Path, seeds: int) -> None:
    """Train in `root` what is missing there, by the checkout's own command."""
    baseline = load_baseline(TABLE, "mini")
    start = baseline.record("fp", 0) if baseline else None
    assert start is not None and start.checkpoint_sha256 is not None
    weights = root / "weights" / f"fp-{start.checkpoint_sha256[:8]}.pth"
    file = root / "suites" / f"{SUITE}.yaml"
    for path in (weights, file):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept_checkpoint(HERE, start.checkpoint_sha256), weights)
    file.write_text(json.dumps(suite(weights.name, seeds), indent=1), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(checkout), "QDET_CHECKPOINTS": str(weights.parent)}
    command = [sys.executable, "-m", "bench", "--root", str(root), "run", SUITE, "--tier", "mini", "--jobs", "1"]
    subprocess.run(command, cwd=root, env=environment, check=True)


def runs(root: Path) -> Iterator[Run]:
    """What `run` left, of the quantized row, scored by this checkout."""
    store = Store(root)
    data = load(TIER.data, "test", root, store.data_cache)
    for folder in map(store.folder, sorted(path.name for path in store.jobs.iterdir())):
        record = json.loads(folder.record_file.read_text(encoding="utf-8"))
        if record["protocol"]["policy"]:
            found = Predictions.load(folder.predictions).detections()
            scores = metric_of(TIER.metric).score(data.coco, found)
            yield Run(record, json.loads(folder.losses.read_text(encoding="utf-8")), 100 * scores.metrics["AP"])


def compared(here: dict[int, Run], base: dict[int, Run]) -> None:
    """Print what differs before the scores, seed by seed."""
    first = min(here)
    for part in ("protocol", "placement_sites", "environment"):
        for at in differences(base[first].record[part], here[first].record[part], part):
            print(f"differs: {at.path}: {at.old} there, {at.new} here")
    for seed, run in here.items():
        there = base[seed]
        apart = [abs(run.losses[step - 1] / there.losses[step - 1] - 1) for step in STEPS]
        words = ", ".join(f"{value:.1e} at step {step}" for step, value in zip(STEPS, apart, strict=True))
        images = run.record["calibration_images"] == there.record["calibration_images"]
        print(f"seed {seed}: {'the same' if images else 'other'} calibration images; losses apart by {words}")


def main() -> None:
    """Train, compare, print."""
    from scipy.stats import ttest_ind

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the other checkout")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder that keeps the runs (default: a temporary one)")
    args = parser.parse_args()
    if args.seeds < 2 or not (args.base / "bench/__main__.py").is_file():
        parser.error(f"--base {args.base} must be a checkout of this project, and --seeds at least 2")
    with tempfile.TemporaryDirectory() as temporary:
        sides: list[dict[int, Run]] = []
        for name, checkout in (("here", HERE), ("base", args.base.resolve())):
            root = (args.work or Path(temporary)).resolve() / name
            run(checkout, root, args.seeds)
            found = {one.record["protocol"]["seeds"]["repetition"]: one for one in runs(root)}
            sides.append(dict(sorted(found.items())))
    compared(*sides)
    here, base = ([one.points for one in side.values()] for side in sides)
    for name, points in (("here", here), ("base", base)):
        each = ", ".join(f"{value:.2f}" for value in points)
        print(f"mAP {name}: {each}; mean {sum(points) / len(points):.2f}, standard deviation {stdev(points):.2f}")
    low, high = ttest_ind(here, base).confidence_interval()
    mean = sum(here) / len(here) - sum(base) / len(base)
    print(f"here - base: {mean:+.2f}, 95 % t interval {low:+.2f} to {high:+.2f}")
    if not low <= 0 <= high:
        sys.exit("the two sides differ by more than their seeds explain")


if __name__ == "__main__":
    main()
