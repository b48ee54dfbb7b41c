"""What a training step does on a GPU: `python -m tests.gpu_steps [--tier midi] [ROW ...]`, of Table I.

A row's model is placed, calibrated and trained as the runner does it, from arbitrary weights, on the images of two
drawn batches. Told are the places where the host waits for the GPU within a step (steps 21 to 39: at every twentieth
the losses are read), with how often in a step; the time of a step; and the kernels that take longest. On a machine
without a GPU nothing waits, and the rest is told of the CPU.
"""

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parent))

ROWS = ("fp", "lsq-w4a4", "lsq-hqod-w4a4")
WATCHED = range(21, 40)
TIMED = range(41, 61)
PROFILED = range(61, 66)
STEPS = 66


class Told(NamedTuple):
    """Of one row."""

    waits: Counter[str]
    """How often the host waited in the watched steps, by the place in the code."""
    step_s: float
    kernels: str
    """The profiler's table."""
    launches: float
    """Kernels that a step starts."""


def steps(row: str, tier: str) -> Told:
    """Train STEPS steps of a row of Table I and watch them."""
    watch = _Watch()
    drawn_steps("hqod/table1", row, tier, STEPS, watch)
    return watch.told()


def drawn_steps(
    suite: str, row: str, tier: str, length: int, begin: Callable[..., None], record: bool = True
) -> list[float]:
    """Train a row for so many steps on two drawn batches, from arbitrary weights; the losses.

    `begin` is called at the beginning of each step. `record`: whether a GPU may record the model's passes.
    """
    from conftest import PROJECT

    from bench.data.load import load
    from bench.detectors.build import build_detector
    from bench.detectors.pipeline import Draw, train_loader
    from bench.engine.place import quantize
    from bench.engine.rate import in_steps
    from bench.engine.recorded import recorded
    from bench.engine.seeds import seed_all
    from bench.engine.training import train
    from bench.methods.stack import MethodStack
    from bench.plan.jobs import plan
    from bench.schema.load import load_suite
    from bench.schema.recipe import Warmup

    protocol = next(job for job in plan(load_suite(suite, PROJECT), tier) if job.row.id == row).protocol
    assert protocol.recipe is not None
    warmup = Warmup(kind="exponential", length=length, ratio=0.001)
    changes = {"unit": "step", "length": length, "evaluation": None, "warmup": warmup}
    recipe = protocol.recipe.model_copy(update=changes)
    few = protocol.data.images.model_copy(update={"train": 2 * recipe.batch, "tune": 0, "test": 1})
    seed_all(0)
    with tempfile.TemporaryDirectory() as folder:
        images = load(protocol.data.model_copy(update={"images": few}), "train", PROJECT, Path(folder))
        model: Any = build_detector(protocol.detector.name, protocol.detector.scale, images.classes, 0)
        methods = MethodStack.of(protocol.methods)
        methods.adapt_model(model)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        if protocol.policy is not None:
            quantize(model, methods, images, protocol, None)
        model.data_preprocessor.register_forward_pre_hook(begin)

        def loader(done: int) -> Any:
            draw = Draw(0, length * recipe.batch)
            return train_loader(images, protocol.detector.scale.input, recipe.augment, recipe.batch, draw)

        lengths = in_steps(recipe, 2 * recipe.batch)
        extra = methods.regularisers, methods.reshapes
        with recorded(model, methods.repeats and record):
            return train(model, loader, recipe, lengths, 0, Path(folder) / "work", *extra, dict, lambda *_: None).losses


class _Watch:
    """A hook at the beginning of each step."""

    def __init__(self) -> None:
        self.step, self.waits, self.began = 0, Counter[str](), 0.0
        self.undo: Callable[[], None] = lambda: None

    def __call__(self, *_: Any) -> None:
        self.step += 1
        if self.step == WATCHED.start:
            self._listen()
        elif self.step == WATCHED.stop:
            self.undo()
        elif self.step == TIMED.start:
            self.began = self._now()
        elif self.step == TIMED.stop:
            self.step_s = (self._now() - self.began) / len(TIMED)
            gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self.profile = profile(activities=[ProfilerActivity.CPU, *gpu])
            self.profile.__enter__()
        elif self.step == PROFILED.stop:
            self._now()
            self.profile.__exit__(None, None, None)

    def told(self) -> Told:
        """What was seen."""
        table = self.profile.key_averages()
        on = "cuda" if torch.cuda.is_available() else "cpu"
        launches = sum(event.count for event in table if "LaunchKernel" in event.key) / len(PROFILED)
        listed = table.table(sort_by=f"self_{on}_time_total", row_limit=25, max_name_column_width=60)
        return Told(self.waits, self.step_s, listed, launches)

    def _listen(self) -> None:
        """Have torch warn of each wait, and keep from where."""
        plain = warnings.showwarning

        def show(message: Any, *_: Any, **__: Any) -> None:
            if "synchronizing" in str(message):
                self.waits[_place()] += 1

        def undo() -> None:
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode("default")
            warnings.showwarning = plain
            warnings.filters[:] = filters

        filters = list(warnings.filters)
        warnings.filterwarnings("always", message=".*synchronizing")
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn")
        # Torch warns of the call itself.
        self.undo, warnings.showwarning = undo, show

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def _place() -> str:
    """The innermost lines that wait; below `backward` there are none of Python."""
    frames = [frame for frame in traceback.extract_stack() if "warnings" not in frame.filename]
    # The last two are this function and who called it.
    inner = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[:-2]][-4:]
    return " < ".join(reversed(inner))


def main() -> int:
    """Tell of each row; 1 where a step waits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="ROW")
    parser.add_argument("--tier", default="midi")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    device, waited = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU", 0
    for row in asked.rows:
        told = steps(row, asked.tier)
        waited += told.waits.total()
        print(f"\n{row}, tier {asked.tier}, {device}: {1000 * told.step_s:.1f} ms a step, {told.launches:.0f} kernels")
        print(f"the host waits {told.waits.total() / len(WATCHED):g} times a step")
        for place, times in told.waits.most_common():
            print(f"  {times / len(WATCHED):g} times: {place}")
        print(told.kernels)
    return int(waited > 0)


if __name__ == "__main__":
    raise SystemExit(main())
