"""Images that are cut off show it only when their pixels are decoded: done once for a data set, before anything trains.

What was found is remembered below `results/local/images/`, by the folder and the name, size and time of change of each
image, so that an image that is mended is looked at again.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench.data.dataset import Dataset, Problem
from bench.data.images import load_bgr
from bench.errors import BenchError
from bench.records.files import write_json
from bench.records.store import LOCAL

REMEMBERED = LOCAL / "images"
_AT_ONCE = 4
"""Pillow decodes outside of Python's lock."""


def without_damaged(data: Dataset, root: Path) -> Dataset:
    """The data set without the images that cannot be decoded, each reported; BenchError where none can."""
    damaged = _damaged(data, root)
    if not damaged:
        return data
    images = [image for image in data.coco["images"] if image["file_name"] not in damaged]
    if not images:
        name, reason = next(iter(damaged.items()))
        raise BenchError(f"{data.name}: no image can be used; first problem: unreadable-image {name}: {reason}")
    kept = {image["id"] for image in images}
    annotations = [annotation for annotation in data.coco["annotations"] if annotation["image_id"] in kept]
    problems = [
        Problem("unreadable-image", name, f"{reason}: left out with its annotations")
        for name, reason in damaged.items()
    ]
    coco = {**data.coco, "images": images, "annotations": annotations}
    return replace(data, coco=coco, problems=(*data.problems, *problems))


def _damaged(data: Dataset, root: Path) -> dict[str, str]:
    """By name why an image cannot be decoded; remembered."""
    names = sorted({image["file_name"] for image in data.coco["images"]})
    file = root / REMEMBERED / f"{_key(data.images_root, names)}.json"
    try:
        found: dict[str, str] = json.loads(file.read_bytes())
        return found
    except (OSError, ValueError):
        pass
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        faults = pool.map(lambda name: _fault(data.images_root / name), names)
        found = {name: fault for name, fault in zip(names, faults, strict=True) if fault is not None}
    with suppress(OSError):  # what cannot be remembered is looked at again
        write_json(file, found)
    return found


def _key(folder: Path, names: list[str]) -> str:
    def facts() -> Iterator[str]:
        yield str(folder.resolve())
        for name in names:
            stat = (folder / name).stat()
            yield f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"

    return hashlib.sha256("\0\0".join(facts()).encode(errors="surrogatepass")).hexdigest()[:20]


def _fault(path: Path) -> str | None:
    try:
        load_bgr(path)
    except BenchError as error:
        return str(error)
    return None
