"""What DetPTQ's search costs on RetinaNet-R18 at full width: `python tests/benchmarks/detptq_cost.py` prints a table.

Each phase in processor time of this process over that of one pass in full precision over the same images, and the
largest memory so far. With `--every 4` the descent visits each fourth quantizer, and its figure is multiplied by four.
The weights are mmdet's initial ones with norms settled, the images noise: what a change costs hangs on the network's
form; how soon a candidate is dropped does not, so the search's own figure in a record (`passes`) is another.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.choice import Search
from bench.calibration.replay import Replay
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.candidates import candidate_sites
from bench.methods.detptq import DetPTQ
from bench.methods.fold_bn import FoldBn
from bench.methods.objective import make_objective
from bench.quantization.apply import apply
from bench.schema.load import load_suite

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tests"))
SCALES: Any = import_module("detector_scales")
SUITE = load_suite("detptq/retinanet_r18", PROJECT).suite
ROW = SUITE.row("detptq-odol-full")
PASSES_ALLOWED = 60.0
"""Bar of all phases together."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="px")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, batches = detector(args.side, args.images, args.batch)
    method = DetPTQ(ROW.methods[-1].options)
    options, half = method.options, len(batches) // 2
    unit = min(seconds(lambda: passes(batches)) for _ in range(2))
    line("one pass in full precision", unit, unit)
    placement = trace_placement(model, SCALES.drawn_batch(args.side, 1), SUITE.policies["full"], ROW.bits)
    apply(model, placement, method.make_quantizers(placement))
    found: dict[str, float] = {}

    def phase(name: str, work: Callable[[], Any], times: int = 1) -> None:
        found[name] = seconds(work) * times
        line(name, found[name], unit)

    phase("histograms", lambda: calibrate(model, batches))
    sites: dict[str, Any] = {}
    phase("steps of all metrics", lambda: sites.update(candidate_sites(model, options.candidates)))
    with Replay(model, batches) as replay:
        objective: Any = None

        def targets() -> None:
            nonlocal objective
            objective = make_objective(options.objective, model, batches, replay, half)

        phase("targets", targets)
        search = Search(sites, objective.loss, range(half), max(1, round(half * (options.first_share or 1.0))))
        phase("each metric everywhere", lambda: search.fixed(range(len(options.candidates))))
        search.sites = dict(list(sites.items())[:: args.every])
        before = replay.passes
        phase("descent", lambda: search.descent(2, options.accept or 0.0), args.every)
        phase("held-out loss", lambda: [objective.loss(k) for k in (*range(half, len(batches)),) * 2])
        print(f"descent, by arithmetic: {(replay.passes - before) * args.every:.1f} passes")
    total = sum(found.values()) / unit
    print(f"all: {total:.1f}; asked: at most {PASSES_ALLOWED:g}; {'met' if total <= PASSES_ALLOWED else 'not met'}")


def detector(side: int, images: int, batch: int) -> tuple[Any, Batches]:
    """RetinaNet-R18 in evaluation mode, and noise."""
    scale = SCALES.make_scale("retinanet-r18", side)
    model: Any = build_detector("retinanet-r18", scale, tuple(f"c{k}" for k in range(80)), 0)
    SCALES.settle(model, SCALES.drawn_batch(side, 1))
    FoldBn(ROW.methods[0].options).adapt_model(model)
    model.eval()
    data = SCALES.drawn_batch(side, images)
    parts = [
        {name: values[k : k + batch] for name, values in data.items()} for k in range(0, images - batch + 1, batch)
    ]
    return model, Batches(model, parts)


@torch.no_grad()
def passes(batches: Batches) -> None:
    """One over each batch."""
    for batch in batches:
        batch()


def seconds(work: Callable[[], Any]) -> float:
    """Processor time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def line(name: str, spent: float, unit: float) -> None:
    """Print a phase."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:28s} {spent:8.1f} s {spent / unit:7.2f} passes   peak so far {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
