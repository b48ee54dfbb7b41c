"""What HQOD's losses cost in a QAT step. `python -m tests.loss_cost [--pairs 200] [--detector retinanet-r18]`.

Steps with and without the losses alternate on one model, in one thread, timed in processor time; the figure is the
median of the pairs' ratios, with a 95 % interval from its order statistics.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parent))

DETECTORS = ("retinanet-r18", "atss-r50", "ssdlite-mbv2", "yolox-tiny")
BATCH, SIDE = 16, 128


class Cost(NamedTuple):
    """Ratio of a step with the losses to one without."""

    ratio: float
    low: float
    high: float
    step_s: float
    """Median step without."""


def measure(detector: str, pairs: int) -> Cost:
    """The cost in the detector's row LSQ+HQOD of Table II at tier mini."""
    from conftest import PROJECT
    from detector_scales import drawn_batch, losses

    from bench.calibration.batches import Batches
    from bench.calibration.calibrate import calibrate
    from bench.detectors.positives import reshaped
    from bench.engine.place import trace_placement
    from bench.methods.stack import MethodStack
    from bench.plan.jobs import plan
    from bench.quantization.apply import apply
    from bench.run.inspect import build, quantizers_of
    from bench.schema.load import load_suite

    row = f"{detector}-lsq-hqod-w4a4"
    job = next(job for job in plan(load_suite("hqod/table2", PROJECT), "mini") if job.row.id == row)
    torch.manual_seed(0)
    model: Any = build(job, PROJECT)
    batch = drawn_batch(SIDE, BATCH)
    # Statistics of the data: the step sizes of an untrained model in eval mode would be next to nothing.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    losses(model, batch)
    assert job.protocol.policy is not None
    placement = trace_placement(model, batch, job.protocol.policy, job.protocol.bits)
    apply(model, placement, quantizers_of(job, placement))
    calibrate(model, Batches(model, [batch]))
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    data = model.data_preprocessor(batch, True)
    reshapes = MethodStack.of(job.protocol.methods).reshapes

    def step(with_losses: bool) -> float:
        begin = time.process_time()
        with reshaped(model, reshapes if with_losses else []):
            loss = model.parse_losses(model(**data, mode="loss"))[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.process_time() - begin

    for warm in (False, True, False, True):
        step(warm)
    ratios, plain = [], []
    for pair in range(pairs):
        # Either side comes first as often as the other.
        times = {which: step(which) for which in (bool(pair % 2), not pair % 2)}
        ratios.append(times[True] / times[False])
        plain.append(times[False])
    return Cost(median(ratios), *interval(ratios), median(plain))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median, from order statistics (normal approximation of the binomial)."""
    ranked, n = sorted(values), len(values)
    away = math.ceil(0.98 * math.sqrt(n))
    middle = n // 2
    return ranked[max(middle - away, 0)], ranked[min(middle + away, n - 1)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--detector", choices=DETECTORS, action="append")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for detector in args.detector or DETECTORS:
        cost = measure(detector, args.pairs)
        percent = [100 * (value - 1) for value in (cost.ratio, cost.low, cost.high)]
        print(
            f"{detector}: +{percent[0]:.1f} % ({percent[1]:.1f} to {percent[2]:.1f}), {args.pairs} pairs, "
            f"step {cost.step_s:.3f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
