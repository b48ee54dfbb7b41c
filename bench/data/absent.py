"""What of a user's data is not on the disk, each file by name; nothing of the data is read."""

from pathlib import Path

from bench.data.paths import expand
from bench.schema.data import CocoData, DataSpec, VocData


def absent_data(spec: DataSpec, root: Path) -> tuple[str, ...]:
    """The split lists, annotation files and folders of images that `spec` names and that do not exist.

    Single images and VOC's annotation files are not looked for: the readers report those and go on.
    Raises UsageError for an unset variable in a path.
    """
    if isinstance(spec, VocData):
        return _absent_voc(spec, expand(spec.path, root))
    return _absent_coco(spec, expand(spec.path, root)) if isinstance(spec, CocoData) else ()


def _absent_voc(spec: VocData, folder: Path) -> tuple[str, ...]:
    splits = (*spec.train, *spec.tune, *spec.test)
    parts = {split: folder / split.rpartition("/")[0] for split in splits}
    wanted = {
        parts[split] / "ImageSets" / "Main" / f"{split.rpartition('/')[2]}.txt": f"no such split list; {_there(part)}"
        for split, part in parts.items()
    }
    found = [f"{file}: {why}" for file, why in wanted.items() if not file.exists()]
    folders = {part / name for part in parts.values() for name in ("Annotations", "JPEGImages")}
    return (*found, *(f"{path}: no such folder" for path in sorted(folders) if not path.is_dir()))


def _there(part: Path) -> str:
    """The split lists that a user may have meant."""
    lists = (part / "ImageSets" / "Main").glob("*.txt")
    return f"there: {', '.join(sorted(file.stem for file in lists)[:8]) or 'no split lists'}"


def _absent_coco(spec: CocoData, folder: Path) -> tuple[str, ...]:
    parts = [part for part in (spec.train, spec.tune, spec.test) if part is not None]
    files = dict.fromkeys(expand(part.annotations, folder) for part in parts)
    folders = dict.fromkeys(expand(part.images, folder) for part in parts)
    return (
        *(f"{file}: no such file" for file in files if not file.exists()),
        *(f"{path}: no such folder" for path in folders if not path.is_dir()),
    )
