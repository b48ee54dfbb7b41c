"""What a training step costs here and in another checkout: `python tests/benchmarks/side_by_side.py --base DIR`.

Two worker processes, one a checkout, take turns: a block is some steps of one, then as many of the other. All figures
are of this thread's processor time, at the size that the other checkout's suites declare for tier `mini`, with equal
images and weights; the median block, and ratios of two, with 95 % intervals (bootstrap over blocks).
Parts (`--parts`, all of them by default):

* `step`: a whole FP32 step: preprocessing, forward, loss, backward, optimizer;
* `loss`: mmdet's `loss_by_feat` on given outputs of the head and the gradient of these: targets, loss, backward;
* `quantized`: the same step with LSQ at 4 bits (`readers: layers`), and its overhead, quantized minus FP32, in ms.

`--base` takes a checkout of 7386d63 (`git worktree add DIR 7386d63`) or later; `--blocks 20 --steps 3` say how much is
run, `--detector NAME` (repeatable) of which detector. Deformable DETR has no quantized step here.
"""

import argparse
import copy
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
QUANTIZED = ("retinanet-r18", "yolox-nano")
DETECTORS = (*QUANTIZED, "deformable-detr-refine-r50")
PARTS = ("step", "loss", "quantized")
SIDES = ("here", "base")

Call = Callable[[], object]
Block = dict[str, dict[str, float]]
"""ms by side and part."""


def calls_of(name: str, base: str, quantized: bool) -> dict[str, Call]:
    """A worker's calls, one a part, of one detector; `steps` is that of its own checkout."""
    import conftest

    conftest.PROJECT = Path(base)
    import steps
    import torch

    torch.set_num_threads(1)
    build = steps.build_detector
    steps.build_detector = lambda *args: _awake(build(*args))
    if name not in steps.DETECTORS:
        steps.DETECTORS[name] = ("detectors/shapes_voc", steps.RETINANET)
    with tempfile.TemporaryDirectory() as cache:
        if quantized:
            make = getattr(steps, "steps_of", None) or steps.step_pair
            plain, layers = make(name, Path(cache))[:2]
        else:
            plain, layers = _plain(steps, name, Path(cache)), None
    calls: dict[str, Call] = {"step": plain}
    if hasattr(plain.model.bbox_head, "loss_by_feat"):
        calls["loss"] = _loss(plain)
    return {**calls, "quantized": layers} if layers is not None else calls


def _without_claims(base: Path, root: Path) -> Path:
    """The other checkout's suites below `root`, readable on both sides: kinds of claims have changed since."""
    for path in (base / "suites").rglob("*.yaml"):
        copy_of = root / path.relative_to(base)
        copy_of.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        copy_of.write_text(
            re.sub(r"^(regime|claims):.*?(?=^tiers:)", "", text, flags=re.DOTALL | re.MULTILINE), "utf-8"
        )
    return root


def _awake(model: Any) -> Any:
    """As `settle` of the later checkout: mmdet starts the last BatchNorm of a residual branch at weight 0."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
            torch.nn.init.constant_(module.weight, 0.5)
    return model


def _plain(steps: Any, name: str, cache: Path) -> Any:
    tier = steps.load_suite(steps.DETECTORS[name][0], steps.PROJECT).suite.tiers["mini"]
    data = tier.data.model_copy(update={"images": tier.data.images.model_copy(update={"train": steps.BATCH})})
    images = steps.load(data, "train", steps.PROJECT, cache)
    scale = tier.detectors[name]
    draw = steps.Draw(0, steps.BATCH)
    batch = next(iter(steps.train_loader(images, scale.input, steps.RECIPE.augment, steps.BATCH, draw)))
    return steps.Step(steps.build_detector(name, scale, images.classes, 0), batch)


def _loss(step: Any) -> Call:
    """The head's loss of fixed outputs, and its gradient in them."""
    import torch

    head, kept = step.model.bbox_head, {}

    def keep(*args: Any, **kwargs: Any) -> Any:
        kept.update(args=args, kwargs=kwargs)
        return plain(*args, **kwargs)

    plain = head.loss_by_feat
    head.loss_by_feat = keep
    step.model(**step.model.data_preprocessor(copy.copy(step.batch), True), mode="loss")
    del head.loss_by_feat
    leaves: list[torch.Tensor] = []

    def leaf(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.requires_grad:
            leaves.append(value.detach().requires_grad_())
            return leaves[-1]
        return type(value)(map(leaf, value)) if isinstance(value, list | tuple) else value

    args, kwargs = [leaf(value) for value in kept["args"]], {key: leaf(value) for key, value in kept["kwargs"].items()}

    def call() -> object:
        total = step.model.parse_losses(head.loss_by_feat(*args, **kwargs))[0]
        return torch.autograd.grad(total, leaves, allow_unused=True)

    return call


class _Calls:
    """What a worker has built; one detector at a time."""

    def __init__(self) -> None:
        self.made: dict[str, Call] = {}

    def answer(self, do: str, **values: Any) -> Any:
        if do == "build":
            self.made = calls_of(**values)
            return list(self.made)
        took: dict[str, list[float]] = {part: [] for part in values["parts"]}
        for _ in range(values["steps"]):
            for part, times in took.items():
                begin = time.thread_time()
                self.made[part]()
                times.append(1e3 * (time.thread_time() - begin))
        return {part: statistics.median(times) for part, times in took.items()}


def blocks(workers: Sequence[Any], parts: Sequence[str], count: int, steps: int) -> list[Block]:
    """The blocks of one detector; the worker that comes first alternates, and a block for warming up is left out."""
    found = []
    for number in range(-1, count):
        sides = SIDES if number % 2 else SIDES[::-1]
        block = {side: workers[SIDES.index(side)].ask(do="time", parts=parts, steps=steps) for side in sides}
        found.append(block)
    return found[1:]


def figures(found: Sequence[Block]) -> dict[str, dict[str, Any]]:
    """Medians over the blocks of one detector."""
    parts = list(found[0]["here"])
    ms = {side: {part: np.array([block[side][part] for block in found]) for part in parts} for side in SIDES}
    if {"quantized", "step"} <= set(parts):
        for of in ms.values():
            of["overhead"] = of["quantized"] - of["step"]
    result = {}
    for part in ms["here"]:
        here, base = ms["here"][part], ms["base"][part]
        result[f"{part}, base / here"] = _ratio(base, here)
        result[f"{part}, here: ms"], result[f"{part}, base: ms"] = _median(here), _median(base)
    for side in SIDES if "overhead" in ms["here"] else ():
        result[f"quantized / step, {side}"] = _ratio(ms[side]["quantized"], ms[side]["step"])
    return result


def _median(values: Any) -> dict[str, Any]:
    return _interval(np.median(values), np.median(values[_draws(len(values))], 1))


def _ratio(above: Any, below: Any) -> dict[str, Any]:
    """Of the two medians: an overhead is the difference of two noisy times, and may be near 0 in a block."""
    draws = _draws(len(above))
    value = np.median(above) / np.median(below)
    return _interval(value, np.median(above[draws], 1) / np.median(below[draws], 1))


def _draws(blocks: int) -> Any:
    return np.random.default_rng(0).integers(0, blocks, (2000, blocks))


def _interval(value: float, drawn: Any) -> dict[str, Any]:
    return {"value": float(value), "interval": [float(end) for end in np.percentile(drawn, (2.5, 97.5))]}


def main() -> None:
    """Measure, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the other checkout")
    parser.add_argument("--detector", choices=DETECTORS, action="append")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3, help="of a block")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    if not (args.base / "tests/benchmarks/steps.py").is_file():
        parser.error(f"--base {args.base}: no checkout of this project")
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]
    from checkouts import HERE, Worker

    told: dict[str, Any] = {}
    with ExitStack() as stack:
        suites = _without_claims(args.base, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        workers = [stack.enter_context(Worker(checkout, __file__)) for checkout in (HERE, args.base)]
        for name in args.detector or DETECTORS:
            quantized = "quantized" in args.parts and name in QUANTIZED
            base = str(suites)
            made = [worker.ask(do="build", name=name, base=base, quantized=quantized) for worker in workers]
            parts = [part for part in args.parts if all(part in names for names in made)]
            told[name] = figures(blocks(workers, parts, args.blocks, args.steps))
            for figure, found in told[name].items():
                low, high = found["interval"]
                print(f"{name}, {figure}: {found['value']:.3g} ({low:.3g} to {high:.3g})", flush=True)
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        # Behind the checkout's own folders, which come first.
        sys.path.append(str(TESTS))
        from checkouts import serve

        serve(_Calls().answer)
    else:
        main()
