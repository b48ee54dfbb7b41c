"""The search of a scale on a histogram against brute force: `python tests/benchmarks/scale_search.py` prints a table.

Brute force puts the whole tensor on each candidate's grid by torch's fused operator and takes the mean of |q(x) - x|^p:
float32, one thread. Ours is timed from the tensor to the scale, its histogram included. Both in processor time of this
thread; each figure is the median of alternating pairs.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.calibration.histogram import Histogram
from bench.calibration.range_search import CANDIDATES, Codes, Scale, best_range

POWERS = (0.5, 1.0, 1.5, 2.0, 2.4, 3.0, 4.0)


class Case(NamedTuple):
    name: str
    x: Tensor
    signed: bool
    offset: bool


def cases(size: int) -> Iterator[Case]:
    """Tensors as detectors have them, of `size` values: ReLU's, SiLU's with outliers, heavy tails, a weight."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, generator=generator)
    yield Case("ReLU", x.relu(), False, False)
    silu = torch.nn.functional.silu(2 * x)
    silu[:: size // 40] *= 8
    yield Case("SiLU, outliers", silu, True, True)
    yield Case("laplace", x.sign() * torch.empty(size).exponential_(generator=generator), True, False)
    yield Case("weight", 0.02 * x, True, False)


def brute_force(x: Tensor, codes: Codes, p: float) -> Scale:
    """The candidate with the smallest error, the first one at equality."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scales = [codes.scale(low * keep, high * keep) for keep in 1 - np.arange(CANDIDATES) / CANDIDATES]
    errors = []
    for step, zero in scales:
        error = torch.fake_quantize_per_tensor_affine(x, step, zero, codes.qmin, codes.qmax).sub_(x)
        errors.append(float((error.square_() if p == 2 else error.abs_().pow_(p)).mean()))
    return scales[int(np.argmin(errors))]


def ours(x: Tensor, codes: Codes, p: float) -> Scale:
    histogram = Histogram()
    histogram.add(x)
    return best_range(histogram, codes, p)


def objective(x: Tensor, codes: Codes, p: float, scale: Scale) -> float:
    """The sum of |q(x) - x|^p, in float64."""
    wide = x.double()
    code = (torch.round(wide / scale.step) + scale.zero).clamp_(codes.qmin, codes.qmax)
    return float((((code - scale.zero) * scale.step) - wide).abs().pow(p).sum())


def excess(case: Case, bits: int, p: float) -> float:
    """By what share our objective lies above that of brute force."""
    codes = Codes.of(bits, case.signed, case.offset)
    return (
        objective(case.x, codes, p, ours(case.x, codes, p)) / objective(case.x, codes, p, brute_force(case.x, codes, p))
        - 1
    )


def speedup(case: Case, bits: int, p: float, pairs: int) -> float:
    """Brute force's time divided by ours, the median of pairs."""
    codes = Codes.of(bits, case.signed, case.offset)
    ours(case.x, codes, p)
    sides = [(_seconds(brute_force, case.x, codes, p), _seconds(ours, case.x, codes, p)) for _ in range(pairs)]
    return statistics.median(theirs / own for theirs, own in sides)


def _seconds(search: Callable[[Tensor, Codes, float], Scale], x: Tensor, codes: Codes, p: float) -> float:
    begin = time.thread_time()
    search(x, codes, p)
    return time.thread_time() - begin


def main() -> None:
    torch.set_num_threads(1)
    print("| tensor | values | bits | p | times faster | objective above brute force's |\n|---|--:|--:|--:|--:|--:|")
    for size in (2**18, 2**20):
        for case in cases(size):
            for bits in (4, 8):
                for p in POWERS:
                    found = f"{speedup(case, bits, p, 3):.1f} | {excess(case, bits, p):.1e}"
                    print(f"| {case.name} | {size:,} | {bits} | {p} | {found} |", flush=True)


if __name__ == "__main__":
    main()
