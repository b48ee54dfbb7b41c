"""Memory of quantization after training: the bar at full scale (`pytest -m long tests/benchmarks`), and a small run."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "calibration_cost.py"


def figures(*options: str) -> dict[str, list[float]]:
    """By phase seconds, passes and GiB, from a process of its own: the highest memory is that of a process."""
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=True)
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    return {name: [float(value) for value in values] for name, *values in lines[1:]}


@pytest.mark.long
def test_calibration_at_full_scale_takes_at_most_4_gib() -> None:
    """With 4 of the 32 images: memory grows with them only by what bias correction keeps, at most 1.25 GiB."""
    found = figures("--images", "4")
    assert len(found) >= 4 and max(memory for *_, memory in found.values()) <= 4.0, found


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    few, many = (figures("--images", count, "--side", "128")["ranges, L2.4"][2] for count in ("2", "8"))
    assert many < few + 0.1, (few, many)
