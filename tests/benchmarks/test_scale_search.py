"""The search of a scale is as good as brute force, and many times faster."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from scale_search import POWERS, cases, excess, speedup

CASES = {case.name: case for case in cases(2**19)}
FASTER = {2.0: 20}
"""By p how many times; 8 for all others."""


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", CASES)
def test_the_objective_is_that_of_brute_force(name: str, bits: int) -> None:
    found = {p: excess(CASES[name], bits, p) for p in POWERS}
    assert max(found.values()) <= 1e-4, found


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 2.4])
def test_it_is_many_times_faster(p: float, benchmark: Any) -> None:
    sides = [(CASES["ReLU"], 4), (CASES["laplace"], 8)]
    found = benchmark.pedantic(lambda: [speedup(case, bits, p, 3) for case, bits in sides], rounds=1)
    benchmark.extra_info["times faster"] = found
    assert min(found) >= FASTER.get(p, 8), found
