"""A data pin: a DVC file with what DVC has no field for under `meta`.

DVC knows the md5 and the size of what it tracks; a second hash, mirrors, the licence and where each fact
was read stand under `meta`, which DVC leaves to its users.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.errors import UsageError
from bench.schema.base import Spec
from bench.schema.messages import validate
from bench.schema.source import load_mapping, shown
from bench.shipped import shipped

FOLDER = "data"
"""Of the pins and of everything that they bring, below the root."""

Text = Annotated[str, Field(min_length=1)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S+$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1)]


class Dependency(Spec):
    """Where the archive comes from. Not DVC's `repo`: `dvc status` would clone it, even where the pin is frozen."""

    path: Url


class Output(Spec):
    """What DVC checks: the archive, or the unpacked folder where the host packs anew and promises no bytes."""

    path: Text
    hash: Literal["md5"]
    cache: Literal[False]
    """DVC's cache would hold the archives a second time."""
    md5: Md5 | None = None
    """Of the archive; ends with `.dir` where it is DVC's digest of a folder."""
    size: Count | None = None
    """Bytes."""
    nfiles: Count | None = None


class Contents(Spec):
    """What the unpacked folder holds; a field that is left out is not checked."""

    files: Count | None = None
    bytes: Count | None = None
    sha256: Sha256 | None = None
    """Of the list that `sha256sum` prints of all files, in order of their names' bytes."""


class Meta(Spec):
    """What DVC has no field for."""

    archive: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(tar|zip)$")]
    """The archive's file name below `data/downloads/NAME/`."""
    sha256: Sha256 | None = None
    """Of the archive."""
    at_most: Count | None = None
    """Bytes at which a download of unknown size stops."""
    mirrors: tuple[Url, ...] = ()
    """Further addresses of the archive, in the order in which they are tried."""
    repository: Url | None = None
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] | None = None
    """Of `repository`, where the archive is packed from one."""
    inside: Text | None = None
    """Only this folder of the archive is unpacked, without its own path; `*` stands for one folder of any name."""
    contents: Contents = Contents()
    home: Url
    licence: Text
    provenance: dict[str, Text]
    """Where each fact was read, by the fact's name."""
    unknown: tuple[Text, ...] = ()
    """What is not known, in words."""
    notes: tuple[Text, ...] = ()


class DvcFile(Spec):
    """A `.dvc` file of one dependency and one output."""

    md5: Md5
    """DVC's digest of the stage itself."""
    frozen: Literal[True]
    """DVC must not ask the server whether the data have changed: they must not."""
    desc: Text
    deps: tuple[Dependency, ...] = Field(min_length=1, max_length=1)
    outs: tuple[Output, ...] = Field(min_length=1, max_length=1)
    meta: Meta

    @model_validator(mode="after")
    def _verifiable(self) -> "DvcFile":
        out, meta = self.outs[0], self.meta
        if meta.sha256 is None and meta.contents.sha256 is None:
            raise ValueError("a pin needs the sha256 of its archive or of its contents")
        if (out.size is None or out.nfiles is not None) and meta.at_most is None:
            raise ValueError("a pin whose archive has no known size needs `at_most`")
        known = {"sha256": meta.sha256, "md5": out.md5, "size": out.size, "contents": meta.contents.sha256}
        for fact, value in known.items():
            if value is not None and fact not in meta.provenance:
                raise ValueError(f"provenance does not say where {fact} was read")
        return self


@dataclass(frozen=True)
class Pin:
    """One pinned data set below `root/data`."""

    name: str
    root: Path
    file: DvcFile

    @property
    def meta(self) -> Meta:
        """What DVC has no field for."""
        return self.file.meta

    @property
    def checks_folder(self) -> bool:
        """Whether DVC's digest is of the unpacked folder, not of the archive."""
        return self.file.outs[0].nfiles is not None

    @property
    def size(self) -> int | None:
        """Bytes of the archive."""
        return None if self.checks_folder else self.file.outs[0].size

    @property
    def md5(self) -> str | None:
        """Of the archive."""
        return None if self.checks_folder else self.file.outs[0].md5

    @property
    def limit(self) -> int:
        """Bytes that a download may have."""
        return self.size or self.meta.at_most or 0

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the archive, in the order in which they are tried."""
        return (self.file.deps[0].path, *self.meta.mirrors)

    @property
    def identity(self) -> str:
        """What decides whether an unpacked folder is that of this pin; a fact learnt later does not change it."""
        return f"{self.meta.sha256 or self.meta.contents.sha256}:{self.meta.inside or ''}"

    @property
    def archive(self) -> Path:
        """Where the archive lies once it is verified."""
        return self.root / FOLDER / "downloads" / self.name / self.meta.archive

    @property
    def folder(self) -> Path:
        """Where the archive is unpacked."""
        return self.root / FOLDER / self.name


def names(root: Path) -> list[str]:
    """Names of all pins, sorted: those below `root`, or, where it has none, those that come with the package."""
    own = sorted(path.stem for path in (root / FOLDER).glob("*.dvc"))
    return own or sorted(path.stem for path in shipped("pins").glob("*.dvc"))


def load_pin(name: str, root: Path) -> Pin:
    """Read a pin. Raises UsageError for an unknown name, and with file and line for a wrong file."""
    if name not in (there := names(root)):
        raise UsageError(f"no data pin {name!r}; the pins are {', '.join(there) or 'none'}")
    own = root / FOLDER / f"{name}.dvc"
    path = own if own.is_file() else shipped("pins") / own.name
    file = validate(DvcFile, load_mapping(path))
    pin = Pin(name, root, file)
    wanted = pin.folder if pin.checks_folder else pin.archive
    if (own.parent / file.outs[0].path) != wanted:
        raise UsageError(f"{shown(path)}: outs[0].path must be {wanted.relative_to(own.parent).as_posix()}")
    return pin


def load_pins(root: Path) -> tuple[list[Pin], dict[str, str]]:
    """All pins below `root`, and by name what is wrong with the others."""
    found, wrong = [], {}
    for name in names(root):
        try:
            found.append(load_pin(name, root))
        except UsageError as error:
            wrong[name] = str(error)
    return found, wrong
