"""The bars of speed and memory (`pytest -m long tests/benchmarks`); figures of ours stand in results/kernels.md."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from measure import BARS, PARTS, holds, measured


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
