"""What quantization after training costs on RetinaNet-R18 at full scale: `python tests/benchmarks/calibration_cost.py`.

32 images of 512 px, batch 1, weights arbitrary: time does not hang on their values. Each phase is given in processor
time as a multiple of one full-precision pass over all images, with the highest memory of the process until its end. A
further phase is one more entry of PHASES. `--images` and `--side` make it smaller.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

SIDE, IMAGES = 512, 32
GIB_ALLOWED = 4.0
"""Bar of the highest memory."""


class Drawn:
    """Images that are drawn when they are asked for, as a loader decodes them."""

    def __init__(self, images: int, side: int) -> None:
        self.images, self.side = images, side

    def __len__(self) -> int:
        return self.images

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[seed] for seed in range(self.images))

    def __getitem__(self, seed: int) -> dict[str, Any]:
        from bench.run.inspect import empty_batch

        generator = torch.Generator().manual_seed(seed)
        batch = empty_batch(self.side, self.side)
        coarse = torch.rand(1, 3, self.side // 8, self.side // 8, generator=generator) * 255
        image = torch.nn.functional.interpolate(coarse, (self.side, self.side), mode="bilinear")[0]
        return {**batch, "inputs": [image.to(torch.uint8)]}


class Bench:
    """One model that the phases change, one after the other."""

    def __init__(self, images: int, side: int) -> None:
        from pathlib import Path

        from bench.calibration.batches import Batches
        from bench.detectors.build import build_detector
        from bench.schema.load import load_suite

        self.suite = load_suite("detptq/retinanet_r18", Path(__file__).parents[2]).suite
        scale = self.suite.tiers["paper"].detectors["retinanet-r18"]
        plain = scale.model_copy(update={"init": scale.init.model_copy(update={"kind": "scratch", "file": None})})
        self.model = build_detector("retinanet-r18", plain, tuple(map(str, range(80))), 0).eval()
        self.images = Drawn(images, side)
        self.batches = Batches(self.model, self.images)

    def methods(self, row: str) -> dict[str, Any]:
        """The methods of a row of the suite, made."""
        from bench.methods.stack import _class

        uses = {use.name: use for use in self.suite.row(row).methods}
        return {name: _class(name)(use.options) for name, use in uses.items()}


@torch.no_grad()
def fp(bench: Bench) -> None:
    """One full-precision pass over all images."""
    for batch in bench.batches:
        batch()


def ranges(bench: Bench) -> None:
    """Fold norms, place quantizers, and find all ranges by L2.4, weights per channel."""
    from bench.engine.place import trace_placement
    from bench.quantization.apply import apply
    from bench.schema.bits import Bits

    methods = bench.methods("l24-full")
    methods["fold_bn"].adapt_model(bench.model)
    first = next(iter(bench.images))
    placement = trace_placement(bench.model, first, bench.suite.policies["full"], Bits.parse("4/4"))
    apply(bench.model, placement, methods["uniform"].make_quantizers(placement))
    methods["uniform"].calibrate(bench.model, bench.batches)


def quantized(bench: Bench) -> None:
    """One quantized pass."""
    fp(bench)


def biases(bench: Bench) -> None:
    """Bias correction, layer by layer with quantized inputs."""
    bench.methods("bias-full")["bias_correction"].calibrate(bench.model, bench.batches)


PHASES: dict[str, Callable[[Bench], None]] = {
    "full-precision pass": fp,
    "ranges, L2.4": ranges,
    "quantized pass": quantized,
    "bias correction": biases,
}
"""In this order. A further method of the suite, such as a search of p for each layer, is one more phase."""


def peak() -> float:
    """The highest memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measured(images: int, side: int) -> Iterator[tuple[str, float, float]]:
    """Of each phase its name, seconds of processor time, and the highest memory until its end, GiB."""
    torch.set_num_threads(1)
    bench = Bench(images, side)
    for name, phase in PHASES.items():
        begin = time.process_time()
        phase(bench)
        yield name, time.process_time() - begin, peak()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--side", type=int, default=SIDE, help="px")
    args = parser.parse_args()
    print(f"RetinaNet-R18, {args.images} images of {args.side} px, one thread\n")
    print("| phase | s | FP passes | highest memory, GiB |\n|---|--:|--:|--:|", flush=True)
    unit = 0.0
    for name, seconds, memory in measured(args.images, args.side):
        unit = unit or seconds
        print(f"| {name} | {seconds:.1f} | {seconds / unit:.1f} | {memory:.2f} |", flush=True)
    print(f"\nasked: at most {GIB_ALLOWED} GiB; {'met' if peak() <= GIB_ALLOWED else 'not met'}")


if __name__ == "__main__":
    main()
