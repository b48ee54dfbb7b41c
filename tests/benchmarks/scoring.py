"""`score` and the bootstrap at the size of COCO val2017, beside pycocotools in the same run.

`python tests/benchmarks/scoring.py [--images 5000] [--detections 500000]` prints seconds of processor time of whole
processes (start, reading and checks included) and their peak memory, then seconds of matching and of 1,000 paired
replicates. Wall time is longer on a busy machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

PEER = """
import json, sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
gt = COCO(sys.argv[1])
evaluation = COCOeval(gt, gt.loadRes(sys.argv[2]), "bbox")
evaluation.evaluate(); evaluation.accumulate(); evaluation.summarize()
print(json.dumps(evaluation.stats.tolist()))
"""


class Used(NamedTuple):
    cpu_s: float
    peak_mib: float
    out: str


def process(*command: str) -> Used:
    """Run a program to its end below a small process that asks for its peak memory."""
    before = time.monotonic()
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); sys.stdout.write(done.stdout);"
        "print(f'\\n{used.ru_utime + used.ru_stime} {used.ru_maxrss}'); sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    out, _, last = done.stdout.rstrip("\n").rpartition("\n")
    cpu, peak = map(float, last.split())
    print(f"  {cpu:6.1f} s  {time.monotonic() - before:6.1f} s wall  {peak / 1024:6.0f} MiB", flush=True)
    return Used(cpu, peak / 1024, out)


def timed(what: str, compute: Callable[[], Any]) -> Any:
    before = time.process_time()
    found = compute()
    print(f"{what}: {time.process_time() - before:.1f} s", flush=True)
    return found


def whole_processes(gt: Path, dt: Path) -> None:
    """`score` against pycocotools, and the largest difference of the twelve numbers."""
    print("score:", end="")
    command = (sys.executable, "-m", "bench", "score", "--gt", str(gt), "--dt", str(dt), "--json")
    process(*command)  # compiled files are then in the cache
    print("score again:", end="")
    ours = process(*command)
    print("pycocotools:", end="")
    peer = process(sys.executable, "-c", PEER, str(gt), str(dt))
    pairs = zip(json.loads(ours.out)["metrics"].values(), json.loads(peer.out.splitlines()[-1]), strict=True)
    difference = max(abs(one - other) for one, other in pairs)
    print(
        f"score: {peer.cpu_s / ours.cpu_s:.1f} times as fast, {ours.peak_mib / peer.peak_mib:.2f} of the memory, "
        f"largest difference of the 12 numbers {difference:g}; by {json.loads(ours.out)['scorer']}"
    )


def bootstrap(gt: Any, sides: list[Any], replicates: int) -> None:
    """Seconds on one thread, and the peak of this process."""
    from bench.evaluation.boxes import Detections
    from bench.evaluation.metric import metric_of
    from bench.schema.suite import Metric
    from bench.statistics.bootstrap import compare_images

    metric = metric_of(Metric(variant="coco"))
    arrays = [Detections.of(side) for side in sides]
    matches = timed("matching, both sides", lambda: [metric.match(gt, side) for side in arrays])
    timed(f"{replicates} paired replicates", lambda: compare_images(*matches, metric, replicates))
    print(f"peak of all this: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    from large_scenes import large_scene

    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("images", 5000), ("detections", 500_000), ("replicates", 1000)):
        parser.add_argument(f"--{option}", type=int, default=default)
    args = parser.parse_args()
    gt, *sides = large_scene(args.images, 80, 36 * args.images // 5, args.detections)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "gt.json", Path(folder) / "dt.json"]
        for path, content in zip(paths, (gt, sides[0]), strict=True):
            path.write_text(json.dumps(content))
        whole_processes(*paths)
    bootstrap(gt, sides, args.replicates)


if __name__ == "__main__":
    main()
