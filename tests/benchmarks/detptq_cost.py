"""What DetPTQ's search costs on RetinaNet-R18 at full width: `python tests/benchmarks/detptq_cost.py` prints a table.

Each phase in processor time of this process over that of one pass in full precision over the same images, and the
largest memory so far. With `--every 4` the descent visits each fourth quantizer, and its figure is multiplied by four.
The weights are mmdet's initial ones with norms settled, the images noise: what a change costs hangs on the network's
form; how soon a candidate is dropped does not, so the search's own figure in a record (`passes`) is another.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from conftest import PROJECT
from detector_scales import drawn_batch, make_scale, settle

from bench.calibration.batches import Batches
from bench.calibration.calibrate import calibrate
from bench.calibration.choice import Search
from bench.calibration.replay import Replay
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.candidates import candidate_sites
from bench.methods.detptq import DetPTQ
from bench.methods.objective import make_objective
from bench.quantization.apply import apply
from bench.schema.bits import Bits
from bench.schema.load import load_suite

OPTIONS = {
    "candidates": [1.0, 1.5, 2.0, 2.4, 3.0, 4.0, "minmax"],
    "objective": {"kind": "odol", "threshold": 0.05, "background": 1.0},
    "search": "descent",
    "accept": 0.005,
    "first_share": 0.125,
    "weights": {"kind": "lp", "p": 2.4, "candidates": 100},
    "granularity": "channel",
}


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
    unit = min(seconds(lambda: passes(batches)) for _ in range(2))
    line("one pass in full precision", unit, unit)
    policy = load_suite("hqod/table1", PROJECT).suite.policies["hqod"]
    placement = trace_placement(model, drawn_batch(args.side, 1), policy, Bits.parse("4/4"))
    method = DetPTQ(OPTIONS)
    apply(model, placement, method.make_quantizers(placement))
    half = len(batches) // 2
    with Replay(model, batches) as replay:
        line("histograms", seconds(lambda: calibrate(model, batches)), unit)
        made: dict[str, Any] = {}
        o = method.options
        line("steps of all metrics", seconds(lambda: made.update(candidate_sites(model, o.candidates))), unit)
        objective: Any = None

        def targets() -> None:
            nonlocal objective
            objective = make_objective(o.objective, model, batches, replay, half)

        line("targets", seconds(targets), unit)
        search = Search(made, objective.loss, range(half), max(1, half // 8))
        line("each metric everywhere", seconds(lambda: search.fixed(range(len(o.candidates)))), unit)
        search.sites = dict(list(made.items())[:: args.every])
        before = replay.passes
        spent = seconds(lambda: search.descent(2, 0.005))
        line("descent", spent * args.every, unit)
        print(f"descent, by arithmetic: {(replay.passes - before) * args.every:.1f} passes")


def detector(side: int, images: int, batch: int) -> tuple[Any, Batches]:
    """RetinaNet-R18 in evaluation mode, and noise."""
    scale = make_scale("retinanet-r18", side)
    model: Any = build_detector("retinanet-r18", scale, tuple(f"c{k}" for k in range(80)), 0)
    settle(model, drawn_batch(side, 1))
    model.eval()
    data = drawn_batch(side, images)
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
