"""`compare` at the size of COCO val2017 and of VOC2007 test, end to end (`pytest -m long`).

The bars are for two free cores: a busy machine makes the wall time longer, so the processor time of all processes,
shared by two, is what is held against them.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from large_scenes import large_scene

pytestmark = pytest.mark.long


class Used(NamedTuple):
    wall_s: float
    cpu_s: float
    peak_gib: float
    """Largest sum over all processes, pages that they share counted once."""


def measure(command: list[str]) -> tuple[Used, str]:
    begin, before, peak = time.monotonic(), os.times(), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_resident_gib, _tree(process.pid))))
            time.sleep(0.2)
        assert process.stdout is not None
        out = process.stdout.read()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    assert process.returncode == 0
    return Used(time.monotonic() - begin, cpu, peak), out


def _tree(pid: int) -> list[int]:
    try:
        children = [c for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _resident_gib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0) / 2**20


@pytest.mark.parametrize(
    ("images", "categories", "objects", "detections", "metric", "bar_s"),
    [
        (5000, 80, 36_000, 500_000, "coco", 120),
        (4952, 20, 12_000, 100_000, "coco", 20),
        (4952, 20, 12_000, 100_000, "voc07", 20),
    ],
)
def test_a_thousand_paired_replicates(
    tmp_path: Path, images: int, categories: int, objects: int, detections: int, metric: str, bar_s: float
) -> None:
    paths = [tmp_path / name for name in ("gt.json", "a.json", "b.json")]
    for path, content in zip(paths, large_scene(images, categories, objects, detections), strict=True):
        path.write_text(json.dumps(content))
    gt, a, b = map(str, paths)
    command = [sys.executable, "-m", "bench", "compare", a, b, "--gt", gt, "--metric", metric, "--jobs", "2", "--json"]
    used, out = measure(command)
    found = json.loads(out)
    print(f"\n{images} images, {categories} categories, {detections} detections a side, {metric}: {used}")
    assert found["replicates"] == 1000
    headline = found["metrics"]["AP" if metric == "coco" else "mAP"]
    assert headline["interval"][0] < headline["difference"] < headline["interval"][1] and headline["replicates"] == 1000
    assert used.cpu_s / 2 <= bar_s and used.peak_gib <= 4
