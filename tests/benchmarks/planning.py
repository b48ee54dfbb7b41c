"""`plan` on a data set as large as COCO train2017: `python tests/benchmarks/planning.py [--images 118287]`.

Writes as many (empty) images and 860,001 annotations with outlines, about 440 MB of JSON, in a temporary folder, makes
a suite for them by `init`, and prints what `plan` takes, by the clock and in processor time: the first call reads the
file, later ones remember it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALLS = 4
OUTLINE = 24
"""Points of an annotation: with these the file has the size of COCO's."""


def write(folder: Path, split: str, images: int, annotations: int) -> Path:
    """A split as Roboflow exports it."""
    place = folder / split
    place.mkdir(parents=True)
    names = [f"{number:012}.jpg" for number in range(images)]
    for name in names:
        (place / name).touch()
    outline = [[round(number * 7.31, 2) for number in range(2 * OUTLINE)]]
    content = {
        "images": [{"id": n, "file_name": name, "width": 640, "height": 480} for n, name in enumerate(names)],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, 81)],
        "annotations": [
            {"id": n, "image_id": n % images, "category_id": n % 80 + 1, "bbox": [10.5, 20.25, 100.0, 80.0],
             "area": 8000.0, "iscrowd": 0, "segmentation": outline}
            for n in range(annotations)
        ],
    }  # fmt: skip
    path = place / "_annotations.coco.json"
    path.write_text(json.dumps(content))
    # A file that was changed a moment ago is not remembered.
    os.utime(path, (time.time() - 60,) * 2)
    return path


def main() -> None:
    """Write, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--annotations", type=int, default=860_001)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, root = Path(folder) / "data", Path(folder) / "root"
        size = write(data, "train", args.images, args.annotations).stat().st_size
        write(data, "test", 100, 100)
        root.mkdir()
        bench = (sys.executable, "-m", "bench", "--root", str(root))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*bench, "init", "mine", "--data", str(data)], check=True, env=environment, cwd=root)
        print(f"annotation file: {size / 1e6:.0f} MB, {args.images} images")
        for call in range(1, CALLS + 1):
            begin, before = time.monotonic(), os.times()
            subprocess.run([*bench, "plan", "mine"], check=True, env=environment, cwd=root, stdout=subprocess.DEVNULL)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            wall = time.monotonic() - begin
            print(f"plan, call {call}: {wall:.2f} s by the clock, {cpu:.2f} s of processor", flush=True)


if __name__ == "__main__":
    main()
