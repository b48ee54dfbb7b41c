"""What might make Table I's step cheaper, and does not: `python tests/benchmarks/attempts.py`.

Each attempt's step against the step as it is, in processor time, alternating; the median of the pairs' ratios with its
95 % interval. Below 1 an attempt would pay.
"""

import copy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Attempt = Callable[[Any], Callable[[], object]]
PAIRS = 12
TESTS = Path(__file__).parents[1]


def channels_last(step: Any) -> Callable[[], object]:
    """Images, weights and maps stored with the channels last."""
    import torch

    step.model.to(memory_format=torch.channels_last)
    step.model.data_preprocessor.register_forward_hook(
        lambda _module, _args, data: {**data, "inputs": data["inputs"].contiguous(memory_format=torch.channels_last)}
    )
    return step


def bfloat16(step: Any) -> Callable[[], object]:
    """What autocast computes in bfloat16, convolutions above all."""
    import torch

    def call() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return step()

    return call


def compiled(step: Any) -> Callable[[], object]:
    """The backbone through TorchInductor, which the quantized convolutions' own operators keep out."""
    import torch

    step.model.backbone.forward = torch.compile(step.model.backbone.forward)
    return step


ATTEMPTS: dict[str, tuple[str, Attempt]] = {
    "channels last": ("quantized", channels_last),
    "bfloat16": ("quantized", bfloat16),
    "compiled": ("FP32", compiled),
}


def main() -> None:
    """Measure every attempt."""
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]
    import torch
    from measure import ratio
    from steps import Step, steps_of

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        made = steps_of("retinanet-r18", Path(cache))
    steps = {"FP32": made.plain, "quantized": made.everything}
    for name, (kind, attempt) in ATTEMPTS.items():
        figure = ratio(attempt(Step(copy.deepcopy(steps[kind].model), steps[kind].batch)), steps[kind], PAIRS)
        low, high = figure["interval"]
        print(f"{name}, {kind} step: {figure['value']:.2f} ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
