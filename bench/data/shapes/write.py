"""Write a generated data set to disk, once: a VOC directory, or COCO JSON files with folders of images.

The folder is filled under another name, with a lock held, and renamed when it is complete: what carries the
final name was complete once, and a marker with the number of images tells whether it still is.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, get_args

from PIL import Image

from bench.data.shapes import VERSION, Flavour, flavour_of, folder_name
from bench.data.shapes.coco import CocoWriter
from bench.data.shapes.scene import Scene, render
from bench.data.shapes.voc import VocWriter
from bench.errors import BenchError
from bench.processes import cores
from bench.schema.data import ShapesCoco, ShapesVoc, Split

WORTH_PROCESSES = 500
"""Images from which drawing them in several processes is worth the second that those take to start."""
MARKER = "shapes.json"
"""Name of the file that a complete folder holds: version, number of images, digest of all scenes."""


class _Writer(Protocol):
    def image_path(self, split: Split, index: int) -> Path:
        """Where an image goes, below the data set's folder."""

    def add(self, split: Split, index: int, scene: Scene) -> None:
        """Take note of one scene's objects."""

    def finish(self) -> None:
        """Write what covers a whole split."""


def make(spec: ShapesVoc | ShapesCoco, root: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Folder of the data set `spec` below `root`, written first where absent; BenchError where damaged.

    `progress` is called with the number of images written so far and in all. A second process that wants the
    same data set waits for the first; a killed one leaves nothing that the next would mistake for a data set.
    """
    final = root / folder_name(spec)
    if _complete(final, spec):
        return final
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f".{final.name}.lock"):
        if not _complete(final, spec):
            unfinished = root / f".{final.name}.partial"
            # Whoever holds the lock is the only writer, so a leftover is that of a killed one.
            shutil.rmtree(unfinished, ignore_errors=True)
            _fill(spec, unfinished, progress or (lambda done, total: None))
            unfinished.rename(final)
    return final


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock, which the system releases even if the process is killed."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _scenes(spec: ShapesVoc | ShapesCoco) -> list[tuple[Split, int]]:
    """(split, index) of every image."""
    splits: tuple[Split, ...] = get_args(Split)
    return [(split, index) for split in splits for index in range(getattr(spec.images, split))]


def _complete(folder: Path, spec: ShapesVoc | ShapesCoco) -> bool:
    """Whether the folder is there; one that has lost its marker or an image is an error."""
    if not folder.exists():
        return False
    expected = len(_scenes(spec))
    try:
        noted = json.loads((folder / MARKER).read_text())["images"]
    except (OSError, ValueError, KeyError, TypeError):
        noted = None
    if noted != expected or sum(1 for _ in folder.rglob("*.png")) != expected:
        raise BenchError(f"{folder}: not its {expected} images; delete the folder and it is made anew")
    return True


def _fill(spec: ShapesVoc | ShapesCoco, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write every image, the annotations and, last, the marker."""
    flavour, scenes, digest = flavour_of(spec), _scenes(spec), hashlib.sha256()
    writer: _Writer = VocWriter(folder) if flavour == "voc" else CocoWriter(folder)
    paths = [folder / writer.image_path(split, index) for split, index in scenes]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    orders = [(flavour, spec.side, *scene, path) for scene, path in zip(scenes, paths, strict=True)]
    with _map(len(orders)) as run:
        for done, ((split, index), scene) in enumerate(zip(scenes, run(_draw, orders), strict=True), start=1):
            writer.add(split, index, scene)
            digest.update(scene_bytes(scene))
            progress(done, len(scenes))
    writer.finish()
    noted = {"version": VERSION, "images": len(scenes), "sha256": digest.hexdigest()}
    (folder / MARKER).write_text(json.dumps(noted, indent=1) + "\n")


@contextmanager
def _map(number: int) -> Iterator[Callable[..., Iterable[Scene]]]:
    """A `map` that keeps the order: on all cores where the images are so many that further processes pay."""
    if number < WORTH_PROCESSES or cores() == 1:
        yield map
        return
    with get_context("spawn").Pool(cores()) as pool:
        yield partial(pool.imap, chunksize=32)


def _draw(order: tuple[Flavour, int, Split, int, Path]) -> Scene:
    """Draw one scene and write its image."""
    flavour, side, split, index, path = order
    scene = render(flavour, side, split, index)
    Image.fromarray(scene.pixels).save(path, compress_level=1)
    return scene


def scene_bytes(scene: Scene) -> bytes:
    """Pixels and objects of a scene as bytes, for digests."""
    objects = [[o.label, *o.box, o.area, int(o.crowd), int(o.difficult)] for o in scene.objects]
    return scene.pixels.tobytes() + json.dumps(objects).encode()
