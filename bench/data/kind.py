"""What the rest of the project asks of a data set, whatever its form; one class for each form."""

import hashlib
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import ClassVar, Generic, NamedTuple, TypeVar

from bench.data.dataset import Dataset
from bench.data.paths import Listing, expand
from bench.data.pins.remedy import remedy
from bench.errors import UsageError
from bench.schema.base import Spec
from bench.schema.data import Split

S = TypeVar("S", bound=Spec)
SPLITS: tuple[Split, ...] = ("train", "tune", "test")


class Digest:
    """SHA-256 of a sequence of items; each is preceded by its length, so that no two sequences collide."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, *items: "str | bytes | mmap.mmap") -> None:
        """Add items; a text is UTF-8."""
        for item in items:
            data = item.encode(errors="surrogatepass") if isinstance(item, str) else item
            self._hash.update(len(data).to_bytes(8))
            self._hash.update(data)

    def add_files(self, listing: Listing, names: Iterable[str]) -> None:
        """Name and size, in bytes, of each file of `listing`, in the order of the names."""
        # One update: a data set may have a hundred thousand images.
        parts: list[bytes] = []
        ordered = sorted(set(names))
        for name, found in zip(ordered, listing.sizes(ordered), strict=True):
            size = b"absent" if found is None else b"%d" % found
            data = name.encode(errors="surrogatepass")
            parts += [len(data).to_bytes(8), data, len(size).to_bytes(8), size]
        self._hash.update(b"".join(parts))

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hash.hexdigest()

    def pin(self) -> str:
        """As a data pin is written: `sha256:` and the digits."""
        return f"sha256:{self.hexdigest()}"


class Planned(NamedTuple):
    """What planning asks of a data set."""

    pin: str
    """Its fingerprint."""
    order: str
    """What the order of the training images hangs on, besides the repetition."""


class DataKind(ABC, Generic[S]):
    """A data set as a suite declares it. `root` is where its relative paths start."""

    usual_classes: ClassVar[int]
    """Number of classes where the data are absent and the suite names none."""

    def __init__(self, spec: S, root: Path) -> None:
        self.spec, self.root = spec, root

    @property
    @abstractmethod
    def name(self) -> str:
        """What commands call it."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What tables call it, the same wherever it lies."""

    @property
    @abstractmethod
    def splits(self) -> tuple[Split, ...]:
        """Those that are declared."""

    @property
    @abstractmethod
    def class_count(self) -> int | None:
        """Number of classes; None where only the data tell."""

    @abstractmethod
    def missing(self, cache: Path) -> str | None:
        """Why the data set as a whole is not there, and the mend; None where it is. Shapes lie below `cache`."""

    @abstractmethod
    def absent(self) -> tuple[str, ...]:
        """The files and folders that it names and that do not exist; UsageError for an unset variable in a path.

        Single images and their annotation files are not looked for: the readers report those and go on.
        """

    def unusable(self) -> str | None:
        """Why nothing of a split can be read although its files are there; None where something can, or where to look
        would take longer than to plan. UsageError and BenchError say why as well."""
        return None

    @abstractmethod
    def identify(self, digest: Digest) -> None:
        """Add all that identifies the data, without reading pixels.

        Raises BenchError for what is absent, UsageError for an unset variable in a path.
        """

    def planned(self, root: Path) -> Planned:
        """May be remembered in the store below `root`; raises as `identify` does."""
        digest = Digest()
        self.identify(digest)
        return Planned(digest.pin(), digest.pin())

    @abstractmethod
    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """Read one split; `verify` asks the reader to trust nothing that it can check."""


class FolderKind(DataKind[S]):
    """A user's own data: a folder, and files in it."""

    path: str
    """Of the folder, as the suite has it."""

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def folder(self) -> Path:
        """The path with its variables replaced; UsageError for one that is unset."""
        return expand(self.path, self.root)

    @property
    def short_name(self) -> str:
        """The folder's own name, since where it lies differs; all of a path that ends in a variable."""
        name = PurePath(self.path).name
        return self.path if not name or "}" in name else name

    @property
    def splits(self) -> tuple[Split, ...]:
        """The fields `train`, `tune` and `test` that are not empty."""
        return tuple(split for split in SPLITS if getattr(self.spec, split))

    def missing(self, cache: Path) -> str | None:
        """Whether the folder is there."""
        try:
            folder = self.folder
        except UsageError as error:
            return str(error)
        if folder.is_dir():
            return None
        mend = remedy(self.path, [f"{folder}: "], self.root) or "put the data there or mend the suite"
        return f"{folder}: no such folder; {mend}"
