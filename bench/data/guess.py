"""What form a user's folder has, and which parts of it train and test: what `init` writes into a suite."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.coco_json import read_coco_json
from bench.data.roboflow_kind import FILE
from bench.data.yolo_files import read_yaml
from bench.errors import BenchError, UsageError

KINDS = ("roboflow", "yolo", "voc", "coco")
"""In the order in which they are tried."""
_YAML = ("data.yaml", "data.yml", "dataset.yaml")
_TRAIN, _HELD_OUT = ("train",), ("test", "val", "valid")
"""Words in the names of files and folders."""
_NAMED = 3
"""Files that a message lists."""
_LOOKED_FOR = 50
"""Images of a COCO file that are looked for in a folder."""


def guess(folder: Path, kind: str | None, difficult: str) -> dict[str, Any]:
    """The fields of a suite's `data`, without `path`; of `kind`, or of the first kind that fits.

    `difficult` is what becomes of VOC's difficult objects. Raises UsageError where nothing fits.
    """
    if folder.is_file():
        raise UsageError(f"{folder}: is a file; --data names the folder that holds annotations and images")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; --data names the folder that holds the data set")
    makers = {"roboflow": _roboflow, "yolo": _yolo, "voc": lambda at: _voc(at, difficult), "coco": _coco}
    for name in (kind,) if kind else KINDS:
        if (found := makers[name](folder)) is not None:
            return {"kind": name, **found}
    wanted = {
        "roboflow": f"train/{FILE}",
        "yolo": "data.yaml",
        "voc": "Annotations/ and JPEGImages/",
        "coco": "a JSON file with images and annotations",
    }
    looked = " or ".join(text for name, text in wanted.items() if kind in (None, name))
    near = f"; {why}" if kind in (None, "coco") and (why := _why_not_coco(folder)) else ""
    raise UsageError(f"{folder}: is no data set that is known here; looked for {looked}{near}")


def _roboflow(folder: Path) -> dict[str, Any] | None:
    there = [name for name in ("train", "valid", "val", "test") if (folder / name / FILE).is_file()]
    if "train" not in there:
        return None
    held_out = [name for name in there if name != "train"]
    if not held_out:
        raise UsageError(f"{folder}: only train/ has {FILE}; export a valid or test split too")
    test = held_out[-1]
    return {"train": "train", **({"tune": held_out[0]} if held_out[0] != test else {}), "test": test}


def _yolo(folder: Path) -> dict[str, Any] | None:
    file = next((folder / name for name in _YAML if (folder / name).is_file()), None)
    if file is None:
        return None
    yaml = read_yaml(file)

    reasons: list[str] = []

    def has(key: str) -> bool:
        try:
            return bool(yaml.images(key))
        except BenchError as error:
            reasons.append(str(error))
            return False

    held_out = [key for key in ("val", "valid", "test") if yaml.content.get(key) and has(key)]
    if not has("train") or not held_out:
        why = f": {reasons[0]}" if reasons else ""
        raise UsageError(f"{file}: names no images of train, or none of val and test{why}")
    tune = {"tune": held_out[0]} if len(held_out) > 1 else {}
    return {"file": file.name, "train": "train", **tune, "test": held_out[-1]}


def _voc(folder: Path, difficult: str) -> dict[str, Any] | None:
    places = [folder, *_folders(folder)]
    parts = [at for at in places if (at / "Annotations").is_dir() and (at / "JPEGImages").is_dir()]
    if not parts:
        return None
    lists = {at: {file.stem for file in (at / "ImageSets/Main").glob("*.txt")} for at in parts}
    train = [(at, name) for at in parts if (name := _first(lists[at], ("trainval", "train")))]
    test = [(at, "test") for at in parts if "test" in lists[at]]
    tune: list[tuple[Path, str]] = []
    if test:
        pairs = [at for at, _ in train if {"train", "val"} <= lists[at]]
        if len(parts) == 1 and pairs:
            train, tune = [(parts[0], "train")], [(parts[0], "val")]
    else:
        test = [(at, "val") for at in parts if {"train", "val"} <= lists[at]]
        train = [(at, "train") for at, _ in test]
    if train and test:
        named = {"train": train, **({"tune": tune} if tune else {}), "test": test}
        splits = {role: [_below(folder, at, name) for at, name in found] for role, found in named.items()}
        return {**splits, "difficult": difficult}
    if len(parts) > 1 or parts[0] != folder:
        raise UsageError(f"{parts[0]}: has no lists of train and test in ImageSets/Main; name this folder by --data")
    return {"split": {"test": 0.2, "seed": 0}, "difficult": difficult}


def _json_files(folder: Path) -> list[Path]:
    return [file for at in (folder, *_folders(folder)) for file in sorted(at.glob("*.json"))]


def _why_not_coco(folder: Path) -> str | None:
    """What keeps the JSON files of a folder from being a data set; None where there are none."""
    files = _json_files(folder)
    usable = [file for file in files if _content(file) is not None]
    if len(usable) > 1:
        named = ", ".join(file.relative_to(folder).as_posix() for file in usable[:_NAMED])
        return f"which of {named} trains? Name them train.json and val.json, or write the suite by hand"
    for file in files:
        try:
            read_coco_json(file, [], files=True)
        except BenchError as error:
            return str(error)
    return None


def _coco(folder: Path) -> dict[str, Any] | None:
    files = _json_files(folder)
    train, held_out = _one(files, folder, _TRAIN), _one(files, folder, _HELD_OUT)
    if train is None or held_out is None:
        for words, found in ((_TRAIN, train), (_HELD_OUT, held_out)):
            if found is None and (meant := _named(files, folder, words)):
                _refuse(meant[0])  # or the images of training would be scored in its place
        # One file without either word: the images of training are scored too, which `data verify` says.
        only = [file for file in files if _content(file) is not None]
        if len(only) != 1:
            return None
        train = held_out = only[0]
    return {"train": _split(folder, train), "test": _split(folder, held_out)}


def _refuse(file: Path) -> None:
    """Say why a file that is named like a split is none."""
    try:
        read_coco_json(file, [], files=True)
    except BenchError as error:
        raise UsageError(f"{error}; mend it, or rename it if it is no split") from None


def _one(files: Iterable[Path], folder: Path, words: tuple[str, ...]) -> Path | None:
    """The first COCO file whose path has one of the words."""
    return next((file for file in _named(files, folder, words) if _content(file) is not None), None)


def _named(files: Iterable[Path], folder: Path, words: tuple[str, ...]) -> list[Path]:
    """The files whose path has one of the words, the first word first."""
    named = [file for word in words for file in files if word in file.relative_to(folder).as_posix().casefold()]
    # `trainval.json` is neither.
    return [file for file in named if not ("train" in file.stem.casefold() and "val" in file.stem.casefold())]


def _content(file: Path) -> list[str] | None:
    """The names of the images; None for another JSON file."""
    try:
        return [image["file_name"] for image in read_coco_json(file, [], files=True).images]
    except BenchError:
        return None


def _split(folder: Path, file: Path) -> dict[str, str]:
    names = _content(file) or []
    near = (file.parent, *_folders(file.parent), folder, *_folders(folder))
    some = names[:_LOOKED_FOR]
    # Numbered files of another split may have the same names: most of them must be there.
    images = next((at for at in near if sum((at / name).is_file() for name in some) * 2 > len(some)), None)
    if images is None:
        raise UsageError(f"{file}: its first image, {names[0] if names else 'none'}, is in no folder below {folder}")
    return {"annotations": _below(folder, file), "images": _below(folder, images)}


def _folders(folder: Path) -> Iterator[Path]:
    """Folders below, two levels deep."""
    for level in ("*", "*/*"):
        yield from (path for path in sorted(folder.glob(level)) if path.is_dir())


def _first(there: set[str], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _below(folder: Path, path: Path, name: str = "") -> str:
    return str(PurePosixPath(path.relative_to(folder).as_posix()) / name)
