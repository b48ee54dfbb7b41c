"""COCO JSON files as a data set. Imports nothing slow: planning identifies data by this."""

import json
import mmap
import re
from pathlib import Path, PurePath

from bench.data.coco_classes import categories_of
from bench.data.coco_json import read_coco_json
from bench.data.dataset import Dataset, printable
from bench.data.kind import SPLITS, Digest, FolderKind, Planned
from bench.data.paths import Listing, expand, stays_inside
from bench.data.remembered import Part, facts, recall, remember
from bench.errors import BenchError
from bench.schema.data import CocoData, CocoSplit, Split, has_tune

LARGE = 16 << 20
"""Bytes of a JSON file beyond which planning does not read it: that would take seconds."""
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


class CocoKind(FolderKind[CocoData]):
    """Read by `bench.data.coco`; identified by the bytes of its JSON files, and name and size of the images in them."""

    usual_classes = 80

    def __init__(self, spec: CocoData, root: Path) -> None:
        super().__init__(spec, root)
        self.path = spec.path

    @property
    def title(self) -> str:
        """With what is scored: the folder of its images; where that is called `images`, the one above, or the file."""
        images = PurePath(self.spec.test.images)
        if images.name not in {"", "images"}:
            return f"{self.short_name} (COCO form): {images.name}"
        if images.parent.name:
            return f"{images.parent.name} (COCO form)"
        return f"{self.short_name} (COCO form): {PurePath(self.spec.test.annotations).stem}"

    @property
    def splits(self) -> tuple[Split, ...]:
        """With `tune` also where it is taken from the training images."""
        return tuple(split for split in SPLITS if split != "tune" or has_tune(self.spec))

    @property
    def class_count(self) -> int | None:
        """Known where the suite selects them."""
        return len(self.spec.classes) if self.spec.classes else None

    def absent(self) -> tuple[str, ...]:
        """JSON files and folders of images."""
        folder = self.folder
        parts = [part for _, part in self._parts()]
        files = dict.fromkeys(expand(part.annotations, folder) for part in parts)
        folders = dict.fromkeys(expand(part.images, folder) for part in parts)
        return (
            *(f"{file}: no such file" for file in files if not file.exists()),
            *(f"{path}: no such folder" for path in folders if not path.is_dir()),
        )

    def unusable(self) -> str | None:
        """What the reader refuses of a file, and one of whose images none is there."""
        # The other splits are read by the training split's categories.
        train = expand(self.spec.train.annotations, self.folder).stat().st_size
        for split, part in self._parts():
            file = expand(part.annotations, self.folder)
            if max(train, file.stat().st_size) > LARGE:
                continue
            content = read_coco_json(file, [], files=True)
            categories_of(self.spec, split, file, self.folder, content, [])
            listing = Listing(expand(part.images, self.folder))
            names = [image["file_name"] for image in content.images]
            if not any(listing.has(name) for name in names if stays_inside(name)):
                near = f", but {near}" if (near := listing.near(names[0])) else ""
                return printable(f"{file}: none of its {len(names)} images is there: no {names[0]}{near}")
        return None

    def identify(self, digest: Digest) -> None:
        """Split by split."""
        self._identify(digest, self._files())

    def planned(self, root: Path) -> Planned:
        """As the note of an earlier planning says, if nothing has changed since.

        The order hangs on name and size of the training images alone, so that a test file with other category ids
        trains the same model.
        """
        parts = self._files()
        if (known := recall(root, parts)) is not None:
            return known
        before, digest, order = facts(parts), Digest(), Digest()
        self._identify(digest, parts)
        order.add_files(Listing(parts[0].images), parts[0].names)
        planned = Planned(digest.pin(), order.pin())
        remember(root, parts, planned, before)
        return planned

    def _identify(self, digest: Digest, parts: list[Part]) -> None:
        for (role, _), part in zip(self._parts(), parts, strict=True):
            digest.add(role)
            _add_split(digest, part)

    def _files(self) -> list[Part]:
        folder = self.folder
        return [Part(expand(p.annotations, folder), expand(p.images, folder), []) for _, p in self._parts()]

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """`verify` probes every image of a large split too."""
        from bench.data.coco import read_coco

        return read_coco(self.spec, split, self.folder, verify=verify)

    def _parts(self) -> list[tuple[Split, CocoSplit]]:
        parts = [(split, getattr(self.spec, split)) for split in SPLITS]
        return [(split, part) for split, part in parts if part is not None]


def _add_split(digest: Digest, part: Part) -> None:
    """Add a file's bytes, and name and size of its images, whose names are put into `part`."""
    file = part.file
    listing = Listing(part.images)
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            digest.add(content)
            # Parsing the JSON of train2017 takes many times as long as finding its file names.
            names = {json.loads(match) for match in _FILE_NAME.findall(content)}
    except FileNotFoundError:
        raise BenchError(f"{file}: no such file; put the annotations there or mend the suite") from None
    except (OSError, ValueError) as error:
        raise BenchError(f"{file}: cannot be read as JSON: {error}") from None
    part.names.extend(filter(stays_inside, names))
    digest.add_files(listing, part.names)
