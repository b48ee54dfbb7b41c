"""What the store takes on the disk, by kind of file."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from bench.records.store import LOCAL, JobFolder, Store
from bench.schema.source import walk

Kind = Literal["records", "predictions", "checkpoints", "snapshots", "submitted", "curves", "notes", "drawings"]
"""`records`: with logs and losses; `snapshots`: of unfinished training; `curves`: what `run --log` sent to files;
`notes`: what is remembered of images, annotation files and bootstraps; `drawings`: Shapes, which are drawn again where
they are absent."""


class Size(NamedTuple):
    """Of some files."""

    files: int
    bytes: int


def sizes(store: Store) -> dict[Kind, Size]:
    """Of every kind, also where there is none."""
    found: dict[Kind, list[int]] = defaultdict(list)
    for kind, number in _files(store):
        found[kind].append(number)
    return {kind: Size(len(found[kind]), sum(found[kind])) for kind in get_args(Kind)}


def size_of(folder: Path) -> Size:
    """Of all files below a folder; of a file, its own."""
    numbers = [number for _, number in _below(folder)]
    return Size(len(numbers), sum(numbers))


def _files(store: Store) -> Iterator[tuple[Kind, int]]:
    for path, number in _within(store.jobs):
        parts = path.relative_to(store.jobs).parts
        job = JobFolder(store.jobs / parts[0])
        of_name: dict[Path, Kind] = {job.predictions: "predictions", job.checkpoint: "checkpoints"}
        yield "snapshots" if path.is_relative_to(job.work) else of_name.get(path, "records"), number
    places: dict[Kind, tuple[Path, ...]] = {
        "submitted": (store.root / LOCAL / "external",),
        "curves": (store.root / LOCAL / "logs",),
        "notes": tuple(store.root / LOCAL / name for name in ("images", "pins", "differences")),
        "drawings": (store.data_cache,),
    }
    for kind, folders in places.items():
        for folder in folders:
            yield from ((kind, number) for _, number in _below(folder))


def _below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Files and their bytes; of a file, its own."""
    if folder.is_file():
        yield folder, folder.stat().st_size
    else:
        yield from _within(folder)


def _within(folder: Path) -> Iterator[tuple[Path, int]]:
    """Files of a folder. Links count as what they are; what goes while it is looked at does not count."""
    for parent, _, names in walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                yield path, path.lstat().st_size
            except FileNotFoundError:
                continue
