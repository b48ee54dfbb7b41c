"""The bars of speed and memory (`pytest -m long tests/benchmarks`); figures of ours stand in results/performance.md."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from measure import BARS, PARTS, holds, measured, ratio, references


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_a_bar_is_met(part: str, benchmark: Any) -> None:
    figures = benchmark.pedantic(measured, args=(part,), rounds=1)
    values = {name: figure["value"] for name, figure in figures.items()}
    benchmark.extra_info.update(values)
    assert set(values) <= set(BARS)
    assert all(holds(name, value) for name, value in values.items()), values


def test_a_figure_that_misses_its_bar_is_seen() -> None:
    assert not holds("step of yolox-nano: quantized / FP32", 1.26)
    assert not holds("lsq 16x32x32x32: torch's learnable operator / ours", 4.9)


def test_a_fused_pass_is_faster_than_its_reference(benchmark: Any) -> None:
    """A regression check that a busy machine passes too: both sides alternate, in processor time of this thread."""
    sides = {name: pair for name, pair in references().items() if "16x256x64x64" not in name}
    found = benchmark.pedantic(lambda: {name: ratio(*pair, 7)["value"] for name, pair in sides.items()}, rounds=1)
    benchmark.extra_info.update(found)
    assert len(found) == 3 and min(found.values()) >= 1.5, found
