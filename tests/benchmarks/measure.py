"""What fused passes and quantized steps cost, each a ratio of one process: `python tests/benchmarks/measure.py`.

Writes results/performance.json and results/performance.md. Both sides of a ratio alternate; a figure is the median of
the ratios of pairs with its 95 % interval. Times are of this thread's processor, so that waiting for it does not count;
what a busy machine takes of caches and memory bandwidth does. All run with the allocator settings of the workers.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BARS = {
    "lsq 16x32x32x32: torch's learnable operator / ours": (">=", 5.0),
    "lsq 16x256x64x64: torch's learnable operator / ours": (">=", 5.0),
    "lsq 16x32x32x32: the eager path / ours": (">=", 5.0),
    "lsq 16x256x64x64: the eager path / ours": (">=", 5.0),
    "focal loss 49104x20: mmdet's / ours": (">=", 4.0),
    "lsq 16x32x32x32: ours / one pass over the data": ("<=", 1.2),
    "lsq 16x256x64x64: ours / one pass over the data": ("<=", 1.2),
    "step of retinanet-r18: quantized / FP32": ("<=", 1.25),
    "step of yolox-nano: quantized / FP32": ("<=", 1.25),
    "memory of retinanet-r18: quantized / FP32": ("<=", 1.25),
    "memory of yolox-nano: quantized / FP32": ("<=", 1.25),
    "step of retinanet-r18: all readers / layers": ("<=", 1.05),
    "step of yolox-nano: all readers / layers": ("<=", 1.05),
    "memory of retinanet-r18: all readers / FP32": ("<=", 1.2),
    "memory of yolox-nano: all readers / FP32": ("<=", 1.2),
    "first use, compiling: s": ("<=", 5.0),
    "first use, from the cache: s": ("<=", 0.5),
}
"""What is asked of each figure."""

Figure = dict[str, Any]


def holds(name: str, value: float) -> bool:
    """Whether a figure meets its bar."""
    relation, bar = BARS[name]
    return value >= bar if relation == ">=" else value <= bar


def ratio(numerator: Callable[[], object], denominator: Callable[[], object], pairs: int) -> Figure:
    """Median and 95 % interval (order statistics) of the ratios of `pairs` alternating pairs."""
    for _ in range(3):
        numerator(), denominator()
    found = []
    for number in range(pairs):
        sides = [numerator, denominator] if number % 2 else [denominator, numerator]
        took = {side: _seconds(side) for side in sides}
        found.append(took[numerator] / took[denominator])
    found.sort()
    off = math.ceil(0.98 * math.sqrt(pairs))  # 1.96 standard deviations of the rank
    low, high = max(0, pairs // 2 - off), min(pairs - 1, (pairs - 1) // 2 + off)
    return {"value": statistics.median(found), "interval": [found[low], found[high]], "pairs": pairs}


def _seconds(call: Callable[[], object]) -> float:
    begin = time.thread_time()
    call()
    return time.thread_time() - begin


Call = Callable[[], object]


def references() -> dict[str, tuple[Call, Call]]:
    """By figure, a slow reference and our fused passes, both forward and backward: LSQ in torch's learnable operator,
    which MQBench calls, and on our eager path; the focal loss as mmdet has it, of 16 images' 3,069 anchors.
    """
    import torch

    from bench.detectors.compat import load_mmdet

    load_mmdet()
    from mmdet.models.losses import FocalLoss

    from bench.detectors.lean.focal import FusedFocalLoss
    from bench.quantization import kernels

    torch.set_num_threads(1)
    found: dict[str, tuple[Call, Call]] = {}
    for shape in SHAPES:
        x, step, grad, scale = _tensors(shape)
        ours = _lsq(shape)

        def operator(x: Any = x, step: Any = step, grad: Any = grad, scale: float = scale) -> object:
            q = torch._fake_quantize_learnable_per_tensor_affine(x, step, torch.zeros(1), -8, 7, scale)
            return torch.autograd.grad(q, (x, step), grad)

        def eager(ours: Call = ours) -> object:
            with kernels.using("eager"):
                return ours()

        found[f"lsq {_name(shape)}: torch's learnable operator / ours"] = operator, ours
        found[f"lsq {_name(shape)}: the eager path / ours"] = eager, ours
    logits = torch.randn(16 * 3069, 20, requires_grad=True)
    labels, positives = torch.randint(0, 21, (len(logits),)), float(len(logits))

    def focal(loss: Any) -> Call:
        return lambda: torch.autograd.grad(loss(logits, labels, avg_factor=positives), logits)

    found["focal loss 49104x20: mmdet's / ours"] = focal(FocalLoss()), focal(FusedFocalLoss())
    return found


SHAPES = ((16, 32, 32, 32), (16, 256, 64, 64))


def _name(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _tensors(shape: tuple[int, ...]) -> tuple[Any, Any, Any, float]:
    """An input, a step, the gradient of the output, and the scale of the step's gradient."""
    import torch

    x, grad = torch.randn(shape, requires_grad=True), torch.randn(shape)
    return x, torch.tensor([0.3], requires_grad=True), grad, (x.numel() * 7) ** -0.5


def _lsq(shape: tuple[int, ...]) -> Call:
    import torch

    from bench.quantization.functional import lsq

    x, step, grad, scale = _tensors(shape)
    return lambda: torch.autograd.grad(lsq(x, step, -8, 7, scale, "mqbench"), (x, step), grad)


def fused() -> dict[str, Figure]:
    """Our fused passes against their references, and LSQ's against one pass over the same 5N floats."""
    import torch

    figures = {name: ratio(*sides, 40 if _name(SHAPES[1]) in name else 200) for name, sides in references().items()}
    for shape in SHAPES:
        x, _, grad, _ = (t.detach() if isinstance(t, torch.Tensor) else t for t in _tensors(shape))
        y, out = torch.empty_like(x), torch.empty_like(x)

        def data(x: Any = x, y: Any = y, grad: Any = grad, out: Any = out) -> object:
            return y.copy_(x), torch.add(x, grad, out=out)

        pairs = 200 if x.numel() < 2**20 else 40
        figures[f"lsq {_name(shape)}: ours / one pass over the data"] = ratio(_lsq(shape), data, pairs)
    return figures


def detector(name: str) -> dict[str, Figure]:
    """One training step, and what its forward pass keeps: quantized against FP32, and `readers: all` against `layers`.

    What `all` adds is near the spread of single pairs, so it takes more of them.
    """
    import torch
    from saved_tensors import saved_bytes
    from steps import steps_of

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        steps = steps_of(name, Path(cache))
    images = steps.plain.model.data_preprocessor(steps.plain.batch, True)["inputs"]
    plain, layers, everything = [saved_bytes(step.model, images) for step in steps]
    return {
        f"step of {name}: quantized / FP32": ratio(steps.layers, steps.plain, 40),
        f"memory of {name}: quantized / FP32": {"value": layers / plain, "bytes": [layers, plain]},
        f"step of {name}: all readers / layers": ratio(steps.everything, steps.layers, 100),
        f"memory of {name}: all readers / FP32": {"value": everything / plain, "bytes": [everything, plain]},
    }


_FIRST_USE = """
import time, torch
from bench.quantization import kernels
from bench.quantization.functional import lsq
x, step = torch.zeros(8, requires_grad=True), torch.tensor(1.0, requires_grad=True)
begin = time.process_time()
lsq(x, step, -8, 7).sum().backward()
print(time.process_time() - begin if kernels.name("cpu") != "eager" else "nan")
"""


def first_use() -> dict[str, Figure]:
    """From the import of numba to the first result, after torch is imported; medians of five."""
    found: dict[str, list[float]] = {"first use, compiling: s": [], "first use, from the cache: s": []}
    for _ in range(5):
        with tempfile.TemporaryDirectory() as cache:
            for times in found.values():
                environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
                done = subprocess.run(
                    [sys.executable, "-c", _FIRST_USE], env=environment, capture_output=True, text=True, check=True
                )
                times.append(float(done.stdout))
    return {name: {"value": statistics.median(times), "of": times} for name, times in found.items()}


PARTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "fused": fused,
    "retinanet-r18": lambda: detector("retinanet-r18"),
    "yolox-nano": lambda: detector("yolox-nano"),
    "first_use": first_use,
}


def measured(part: str) -> dict[str, Figure]:
    """The figures of one part, from a process with the workers' environment."""
    from bench.run.scheduler import WORKER_ENVIRONMENT

    tests = Path(__file__).parent.parent
    folders = [str(tests.parent), str(tests), str(tests / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, __file__, part], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Figure] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure everything and write the results, or print one part as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(PARTS[sys.argv[1]]()))
        return
    from bench.processes import cores
    from bench.quantization import kernels
    from bench.records.environment import environment

    figures = {name: figure for part in PARTS for name, figure in measured(part).items()}
    load = os.getloadavg()[1]
    facts = environment(kernels.name("cpu"), 1, 0)
    results = Path(__file__).parents[2] / "results"
    (results / "performance.json").write_text(
        json.dumps({"environment": facts, "load": load, "figures": figures}, indent=1) + "\n"
    )
    lines = [
        "# How fast the fused passes and quantized steps are", "",
        "`python tests/benchmarks/measure.py`, which says how; 95 % intervals of the median pair.", "",
        "| figure | measured | interval | asked | met |", "|---|--:|--:|--:|---|",
    ]  # fmt: skip
    for name, (relation, bar) in BARS.items():
        value, interval = figures[name]["value"], figures[name].get("interval")
        spread = f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else ""
        lines.append(
            f"| {name} | {value:.2f} | {spread} | {relation} {bar} | {'yes' if holds(name, value) else 'no'} |"
        )
    processor = facts["processor"].split("  ")[0][:60]
    lines += [
        "",
        f"{processor}; kernels {facts['kernels']}, torch {facts['packages']['torch']}, one thread.",
        f"{cores()} cores, of which {load:.1f} were wanted meanwhile: a busy machine makes every figure worse.",
    ]
    (results / "performance.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
