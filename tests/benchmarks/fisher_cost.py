"""What Fisher information costs: `python tests/benchmarks/fisher_cost.py`, minutes of one core.

First the regulariser's part of a training step: Deformable DETR as in suites/fisher_detr at tier `mini`, batch 16,
weights of 4 bits, processor time of alternating steps with and without it (medians), and the memory each adds.
Then the Fisher information of a full-width Deformable DETR over 32 images of 512 px: time, and memory in all.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).parents[2]
PAIRS = 20
IMAGES, SIDE, LIMIT_GIB = 32, 512, 6.0


def step(regularised: bool) -> Any:
    """A function that trains one step, its model and batch made once."""
    import torch

    from bench.detectors.build import build_detector
    from bench.detectors.pipeline import Draw, train_loader
    from bench.engine.place import trace_placement
    from bench.methods.stack import MethodStack
    from bench.plan.jobs import plan
    from bench.quantization.apply import apply
    from bench.schema.load import load_suite

    torch.set_num_threads(1)
    job = next(j for j in plan(load_suite("fisher_detr/deformable", PROJECT), "mini") if j.row.id == "qat-trace-w4")
    protocol = job.protocol
    data = _drawings(protocol.data, 16)
    model: Any = build_detector(protocol.detector.name, protocol.detector.scale, data.classes, 0)
    (batch,) = train_loader(data, protocol.detector.scale.input, protocol.recipe.augment, 16, Draw(0, 16))  # type: ignore[union-attr]
    placement = trace_placement(model, batch, protocol.policy, protocol.bits)  # type: ignore[arg-type]
    methods = MethodStack.of(protocol.methods)
    apply(model, placement, methods.make_quantizers(placement))
    methods.calibrate(model, [])  # type: ignore[arg-type]
    prepared = model.data_preprocessor(batch, True)
    inputs, samples = prepared["inputs"], prepared["data_samples"]

    def call() -> None:
        model.zero_grad()
        loss = sum(value for name, value in model(inputs, samples, mode="loss").items() if "loss" in name)
        if regularised:
            given = {"inputs": inputs, "data_samples": samples, "progress": 0.5}
            loss = loss + methods.regularisers[0](model, given)
        loss.backward()

    return call


def _drawings(spec: Any, count: int) -> Any:
    """The first images of the training split of the suite's data."""
    import tempfile

    from bench.data.load import load
    from bench.schema.data import SplitCounts

    images = SplitCounts(train=count, test=1)
    folder = Path(tempfile.mkdtemp())
    return load(spec.model_copy(update={"images": images}), "train", folder, folder)


def peak_gib() -> float:
    """The most memory that this process has held, GiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def memory(kind: str) -> None:
    """In a process of its own: what two steps add at their peak to the memory before, GiB."""
    call = step(kind == "regularised")
    # Linux forgets the peak so far.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_gib("VmRSS")
    call(), call()
    print(f"{_status_gib('VmHWM') - before:.3f}")


def _status_gib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**20


def regulariser() -> None:
    """Print what it costs in a step."""
    plain, regularised = step(False), step(True)
    times: dict[Any, list[float]] = {plain: [], regularised: []}
    for _ in range(PAIRS + 1):
        for call, taken in times.items():
            begun = time.process_time()
            call()
            taken.append(time.process_time() - begun)
    one, other = (median(taken[1:]) for taken in times.values())
    print(f"a step: {one:.3f} s, with the regulariser {other:.3f} s: {other / one:.2f} times")
    for kind in ("plain", "regularised"):
        done = subprocess.run([sys.executable, __file__, "memory", kind], capture_output=True, text=True, check=True)
        print(f"memory that two steps add, {kind}: {done.stdout.strip()} GiB")


def information() -> float:
    """Print what it costs for the large detector; the memory of this process at its peak, GiB."""
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    from bench.calibration.fisher import fisher
    from bench.detectors.build import build_detector
    from bench.detectors.critical import Group, Objective
    from bench.schema.detector import DetectorScale

    torch.set_num_threads(1)
    scale = DetectorScale.model_validate(
        {"input": {"size": (SIDE, SIDE)}, "test": {"batch": 1, "score_threshold": 0.0}, "init": {"kind": "scratch"}}
    )
    classes = tuple(f"class{k}" for k in range(80))
    model = build_detector("deformable-detr-r50", scale, classes, 0)
    generator = torch.Generator().manual_seed(0)
    weights = [p for n, p in model.named_parameters() if n.startswith(("encoder", "decoder")) and p.dim() == 2]
    objective = Objective(model, Group.of(classes[:2], classes), 1.0)

    def single() -> Any:
        corners = torch.rand(7, 2, generator=generator) * SIDE / 2
        sample = DetDataSample(metainfo={"img_shape": (SIDE, SIDE), "batch_input_shape": (SIDE, SIDE), "img_id": 0})
        labels = torch.randint(80, (7,), generator=generator)
        sample.gt_instances = InstanceData(bboxes=torch.cat([corners, corners + SIDE / 4], 1), labels=labels)
        return objective(torch.randn(1, 3, SIDE, SIDE, generator=generator), [sample])

    begun = time.process_time()
    fisher([single] * IMAGES, weights)
    taken, peak = time.process_time() - begun, peak_gib()
    count = sum(weight.numel() for weight in weights)
    print(f"Fisher of {count / 1e6:.1f} M weights, {IMAGES} images of {SIDE} px: {taken:.0f} s, {peak:.2f} GiB in all")
    return peak


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory(sys.argv[2])
    elif sys.argv[1:2] == ["information"]:
        sys.exit(information() > LIMIT_GIB)
    else:
        regulariser()
        done = subprocess.run([sys.executable, __file__, "information"])
        sys.exit(done.returncode)
