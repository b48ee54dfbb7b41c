"""What a YOLO data set names: the classes and images of `data.yaml`, and the label file of each image.

The form is that of Ultralytics (docs.ultralytics.com/datasets/detect). Imports nothing slow: planning asks it.
"""

import math
import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from bench.data.dataset import Problem
from bench.data.paths import IMAGE_SUFFIXES, stays_inside
from bench.errors import BenchError, UsageError
from bench.schema.source import shown


class YoloFile(NamedTuple):
    """A `data.yaml`."""

    file: Path
    base: Path
    """What its paths start at."""
    names: tuple[str, ...]
    """Classes by their number."""
    content: dict[str, Any]

    @property
    def has_keypoints(self) -> bool:
        """Whether the numbers behind a box are keypoints; else more than four numbers are a polygon."""
        return "kpt_shape" in self.content

    def images(self, key: str) -> list[str]:
        """The images of the split under that key, sorted, relative to `base`.

        UsageError for a key that the file lacks and for a path that leaves `base`, BenchError where nothing is there.
        """
        value = self.content.get(key)
        places: list[Any] = value if isinstance(value, list) else [value]
        if not places or not all(isinstance(place, str) and place for place in places):
            there = ", ".join(k for k in ("train", "val", "valid", "test") if self.content.get(k)) or "none"
            raise UsageError(f"{shown(self.file)}: {key} names no folder of images; splits there: {there}")
        return sorted({name for place in places for name in self._of(key, place)})

    def _of(self, key: str, place: str) -> list[str]:
        path = self._resolve(key, place)
        if path.is_dir():
            return [
                (Path(folder) / name).relative_to(self.base).as_posix()
                for folder, _, files in os.walk(path)
                for name in files
                # `._1.jpg` is what macOS leaves beside a file on a foreign disk.
                if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
            ]
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
        except FileNotFoundError:
            raise BenchError(f"{shown(self.file)}: {key}: {shown(path)}: no such folder or list") from None
        except (OSError, ValueError) as error:
            raise BenchError(f"{shown(path)}: cannot be read as a list of images: {error}") from None
        found = [os.path.normpath(self._from_base(line)) for line in lines if line]
        for line in found:
            if not stays_inside(line):
                raise UsageError(f"{shown(path)}: {line!r} leaves the folder {shown(self.base)}")
        return found

    def _from_base(self, line: str) -> str:
        """A line of a list, relative to the base: absolute ones below it are, as Darknet writes them."""
        path = Path(line)
        inside = path.is_absolute() and path.is_relative_to(self.base.absolute())
        return str(path.relative_to(self.base.absolute())) if inside else line.removeprefix("./")

    def _resolve(self, key: str, place: str) -> Path:
        """A split's folder or list. Roboflow writes `../train/images` and means the folder of the file."""
        inner = place.replace("\\", "/")
        given = Path(os.path.normpath(self.base / inner))
        while not given.is_relative_to(self.base) and inner.startswith("../"):
            inner = inner.removeprefix("../")
            given = Path(os.path.normpath(self.base / inner))
        if not given.is_relative_to(self.base):
            raise UsageError(f"{shown(self.file)}: {key}: {place!r} leaves the folder {shown(self.base)}")
        return given


def read_yaml(file: Path) -> YoloFile:
    """Read `data.yaml`; UsageError with its line or field where it is wrong."""
    content = _mapping(file)
    names = content.get("names")
    if isinstance(names, dict):
        names = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in names.items()}
        if set(names) != set(range(len(names))):
            raise UsageError(
                f"{shown(file)}: names must be numbered 0, 1, 2 …, not {', '.join(map(str, [*names][:8]))}"
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UsageError(f"{shown(file)}: names must list the classes")
    if odd := [name for name in names if isinstance(name, bool) or not isinstance(name, str | int)]:
        raise UsageError(f"{shown(file)}: names: YAML reads one as {odd[0]!r}; write it in quotes, such as 'yes'")
    classes = tuple(str(name) for name in names)
    if len(set(classes)) < len(classes):
        raise UsageError(f"{shown(file)}: names: a name stands twice: {', '.join(classes)}")
    count = content.get("nc")
    if count is not None and count != len(classes):
        raise UsageError(f"{shown(file)}: nc is {count}, names are {len(classes)}")
    base = Path(os.path.normpath(file.parent / str(content.get("path") or ".")))
    return YoloFile(file, base if base.is_dir() else file.parent, classes, content)


def _mapping(file: Path) -> dict[str, Any]:
    """Not by the loader of suites: keys may be numbers here, and whoever wrote the file knows no further rules."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BenchError(f"{shown(file)}: no such file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        raise UsageError(f"{shown(file)}{line}: not YAML: {getattr(error, 'problem', None) or 'unreadable'}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{shown(file)}: cannot be read as UTF-8 text: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{shown(file)}: a mapping with names and splits is wanted")
    return content


def label_file(image: str) -> str:
    """`images/a/1.jpg` -> `labels/a/1.txt`: the last folder `images` becomes `labels`, as in Ultralytics."""
    path = PurePosixPath(image)
    parts = list(path.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[:-1][::-1].index("images")
        parts[at] = "labels"
    return str(PurePosixPath(*parts).with_suffix(".txt"))


class Label(NamedTuple):
    """One line of a label file."""

    number: int
    """Of the class, from 0."""
    box: tuple[float, float, float, float]
    """x, y of the corner, w, h, in fractions of the image."""


def read_labels(yaml: YoloFile, image: str, problems: list[Problem]) -> list[Label]:
    """The boxes of an image; a polygon becomes the box around it. What is wrong in a line leaves the line out.

    Raises BenchError for a label file that is not text; an absent one has no boxes.
    """
    path, count = yaml.base / label_file(image), len(yaml.names)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        problems.append(Problem("absent-label", path.name, "the image is background"))
        return []
    except (OSError, ValueError) as error:
        raise BenchError(f"{shown(path)}: cannot be read as text: {error}") from None
    found: dict[Label, None] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        label = _label(line, yaml.has_keypoints)
        if isinstance(label, str):
            problems.append(Problem("broken-label", where, f"{label}: left out"))
        elif not 0 <= label.number < count:
            problems.append(Problem("unknown-class", where, f"class {label.number} of {count}: left out"))
        elif label in found:
            problems.append(Problem("twin-label", where, "stands above already: left out"))
        else:
            found[label] = None
    return list(found)


def _label(line: str, has_keypoints: bool) -> Label | str:
    """The line's box, or what is wrong with it."""
    parts = line.split()
    try:
        class_, *values = [float(part) for part in parts]
    except ValueError:
        return f"{line.strip()[:40]!r} is not made of numbers"
    if has_keypoints:
        values = values[:4]
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        return f"{len(parts)} numbers where 5 should be: class x y w h"
    if not all(map(math.isfinite, values)) or class_ != int(class_ if math.isfinite(class_) else -1):
        return "a number that is not finite, or a class that is not whole"
    if len(values) == 4:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, width, height)
    else:
        xs, ys = values[::2], values[1::2]
        box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if max(values) > 1.5:
        return f"{max(values):g} is no fraction of the image; are these pixels?"
    if box[2] <= 0 or box[3] <= 0:
        return "no extent"
    return Label(int(class_), box)
