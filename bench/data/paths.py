"""Where the files of a data set are: paths with environment variables, split lists, listings of folders.

Imports nothing slow: `qdet-bench plan` uses this to identify data.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote

from bench.data.dataset import Problem
from bench.errors import BenchError, UsageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Looked for in this order, in any letter case."""

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FLAGGED = re.compile(r"(\S+)\s+(?:-1|0|1)")


def expand(path: str, root: Path) -> Path:
    """Replace `${NAME}` and `${NAME:-default}` in `path`; a relative result starts at `root`.

    As in a shell, the default also stands in for an empty variable. A value is not expanded again.
    Raises UsageError for a variable that is unset or empty without default, and for any other `${...}`.
    """

    def value(match: re.Match[str]) -> str:
        parts = _NAME.fullmatch(match[1])
        if parts is None:
            raise UsageError(f"path {path!r}: write ${{NAME}} or ${{NAME:-default}}, not {match[0]}")
        found = os.environ.get(parts[1]) or parts[2]
        if found is None:
            raise UsageError(
                f"path {path!r}: set the environment variable {parts[1]}, or give a default as ${{{parts[1]}:-folder}}"
            )
        return found

    expanded = _VARIABLE.sub(value, path)
    if "\0" in expanded or "${" in _VARIABLE.sub("", path):
        raise UsageError(f"path {path!r}: write ${{NAME}} or ${{NAME:-default}}, without other braces or NUL")
    return root / expanded


def stays_inside(name: str) -> bool:
    """Whether `name`, joined to a folder, stays in it on every system: no `..`, no root, no drive."""
    windows = PureWindowsPath(name)
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return bool(windows.parts) and not windows.anchor and ".." not in windows.parts and "\0" not in name


class Listing:
    """The files below a folder; each sub-folder is listed once, so that look-ups cost no system call."""

    def __init__(self, folder: Path) -> None:
        """Raises BenchError where `folder` is not a directory."""
        if not folder.is_dir():
            raise BenchError(f"{folder}: no such folder; put the data there or mend the path in the suite")
        self.folder = folder
        self._folders: dict[str, _Folder] = {}

    def names(self) -> list[str]:
        """The files directly in the folder, sorted."""
        return sorted(self._at(PurePosixPath("x")).names)

    def has(self, name: str) -> bool:
        """Whether the file `name`, relative to the folder, with `/`, exists."""
        path = PurePosixPath(name)
        return path.name in self._at(path).names

    def sizes(self, names: Iterable[str]) -> list[int | None]:
        """Bytes of each file, its name relative to the folder, with `/`; None where there is none."""
        # Strings: a Path costs more than the system call, and a data set may have a hundred thousand images.
        folder, found = f"{self.folder}/", list[int | None]()
        for name in names:
            try:
                facts = os.stat(folder + name)  # noqa: PTH116
                found.append(facts.st_size if stat.S_ISREG(facts.st_mode) else None)
            except (OSError, ValueError):  # ValueError: a NUL, or a name that the file system's encoding does not have
                found.append(None)
        return found

    def near(self, name: str) -> str | None:
        """A file that `name`, which is absent, may mean: with `/` for a backslash, in another letter case, with
        another suffix, without a URL's escapes, in another Unicode form, or in the folder itself."""
        plain = name.replace("\\", "/")
        paths = [PurePosixPath(text) for text in (plain, unquote(plain))]
        for candidate in dict.fromkeys((*paths, *(PurePosixPath(path.name) for path in paths))):
            if not candidate.name or not stays_inside(str(candidate)):
                continue
            at = self._at(candidate)
            by_case = {_plain(other): other for other in at.names}
            found = by_case.get(_plain(candidate.name)) or at.images.get(candidate.stem)
            if found is not None:
                return str(candidate.with_name(found))
        return None

    def image_of(self, stem: str) -> str | None:
        """The image `stem` + one of IMAGE_SUFFIXES, relative to the folder; None where there is none."""
        path = PurePosixPath(stem)
        found = self._at(path).images.get(path.name)
        return None if found is None else str(path.with_name(found))

    def _at(self, path: PurePosixPath) -> "_Folder":
        parent = str(path.parent)
        if parent not in self._folders:
            self._folders[parent] = _Folder(self.folder / parent)
        return self._folders[parent]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


class _Folder:
    """Names of the files directly in one folder; none where it cannot be listed."""

    def __init__(self, path: Path) -> None:
        try:
            with os.scandir(path) as entries:
                self.names = frozenset(entry.name for entry in entries if entry.is_file())
        except (OSError, ValueError):  # ValueError: a NUL, or a name that the file system's encoding does not have
            self.names = frozenset()

    @cached_property
    def images(self) -> dict[str, str]:
        """Stem -> file name; of several suffixes the first in IMAGE_SUFFIXES."""
        ranks = {suffix: rank for rank, suffix in enumerate(IMAGE_SUFFIXES)}
        parts = [
            (stem, "." + suffix.lower(), name) for name in self.names for stem, _, suffix in [name.rpartition(".")]
        ]
        ranked = sorted(((ranks[suffix], name, stem) for stem, suffix, name in parts if suffix in ranks), reverse=True)
        return {stem: name for _, name, stem in ranked}


class Listed(NamedTuple):
    """One image of a VOC split list."""

    part: str
    """Folder of the VOC directory below the data set's path: `VOC2007`, or `.`."""
    id: str


class SplitList(NamedTuple):
    """What a VOC split file holds."""

    file: Path
    members: tuple[Listed, ...]
    problems: tuple[Problem, ...]


def read_split(folder: Path, split: str) -> SplitList:
    """Read the split list `ImageSets/Main/<split>.txt` below `folder`; `VOC2007/test` lies in `VOC2007/`.

    Blank lines, `#` comments, a byte-order mark and Windows line ends are skipped. Where every line is
    `id` and a flag -1, 0 or 1 (VOC's files of one class, `cat_train.txt`) all ids are taken: the flag
    answers another question (is there a cat?), and an image without one still belongs to the split.
    An id that is listed twice counts once. Both are reported.
    Raises BenchError where the file is absent or not UTF-8, UsageError for an id that leaves the folder.
    """
    part, _, name = split.rpartition("/")
    if not stays_inside(split):
        raise UsageError(f"split {split!r}: write a name such as 'trainval' or 'VOC2007/trainval'")
    file = folder / part / "ImageSets" / "Main" / f"{name}.txt"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem for p in file.parent.glob("*.txt"))[:8]) or "no split lists"
        there += "" if folder.is_dir() else f", since there is no folder {folder}"
        raise BenchError(f"{file}: no such split list; there: {there}") from None
    except (OSError, ValueError) as error:
        raise BenchError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), start=1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    flagged = [_FLAGGED.fullmatch(line) for _, line in lines]
    problems = []
    ids: dict[str, int] = {}
    if lines and all(flagged):
        problems.append(Problem("class-file", file.name, "second column -1/0/1 not used, all ids are taken"))
        lines = [(n, match[1]) for (n, _), match in zip(lines, flagged, strict=True) if match]
    for n, id_ in lines:
        if not stays_inside(id_):
            raise UsageError(f"{file}:{n}: {id_!r} is no id of this data set; write ids without folders")
        if id_ in ids:
            problems.append(Problem("duplicate-id", f"{file.name}:{n}", f"{id_} is line {ids[id_]} already"))
        ids.setdefault(id_, n)
    return SplitList(file, tuple(Listed(part or ".", id_) for id_ in ids), tuple(problems))
