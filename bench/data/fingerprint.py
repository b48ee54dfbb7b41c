"""What identifies a data set, without reading its pixels; `qdet-bench plan` asks for it, so it is quick.

Two copies of the same data have one fingerprint wherever they lie. Shapes are identified by their fields and
the generator's version, since those determine every pixel. `data verify` hashes the images themselves.
"""

import hashlib
import json
import mmap
import re
from collections.abc import Iterable
from pathlib import Path

from bench.data.paths import Listing, expand, read_split, stays_inside
from bench.errors import BenchError
from bench.schema.data import CocoData, CocoSplit, DataSpec, VocData

_XML_FILENAME = re.compile(rb"<filename>\s*([^<]*?)\s*</filename>")
_JSON_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


def fingerprint(spec: DataSpec, root: Path) -> str:
    """`sha256:` and 64 digits.

    For Shapes: kind, fields and generator version; nothing is generated. For VOC: the bytes of the split
    lists and of the annotation files that they name, name and size of the images. For COCO: the bytes of the
    JSON files, name and size of the images in them. The suite's own choices (`difficult`, `classes`) are not
    part of a user's data: they stand in the protocol. An image or annotation file that is absent is hashed as
    absent, since the readers go on without it.
    Raises BenchError for an absent folder, split list or JSON file, UsageError for an unset variable.
    """
    digest = _Digest()
    if isinstance(spec, VocData):
        _add_voc(digest, spec, expand(spec.path, root))
    elif isinstance(spec, CocoData):
        folder = expand(spec.path, root)
        for role, part in (("train", spec.train), ("tune", spec.tune), ("test", spec.test)):
            if part is not None:
                digest.add(role)
                _add_coco(digest, part, folder)
    else:
        from bench.data.shapes import VERSION

        digest.add(spec.model_dump_json(), str(VERSION))
    return f"sha256:{digest.hexdigest()}"


class _Digest:
    """SHA-256 of a sequence of items; each is preceded by its length, so that no two sequences collide."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, *items: "str | bytes | mmap.mmap") -> None:
        for item in items:
            data = item.encode(errors="surrogatepass") if isinstance(item, str) else item
            self._hash.update(len(data).to_bytes(8))
            self._hash.update(data)

    def add_files(self, listing: Listing, names: Iterable[str]) -> None:
        """Name and size, in bytes, of each file of `listing`, in the order of the names."""
        for name in sorted(set(names)):
            size = str((listing.folder / name).stat().st_size) if listing.has(name) else "absent"
            self.add(name, size)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _add_voc(digest: _Digest, spec: VocData, folder: Path) -> None:
    listings: dict[str, Listing] = {}
    images: dict[str, set[str]] = {}
    for role, splits in (("train", spec.train), ("tune", spec.tune), ("test", spec.test)):
        for split in splits:
            found = read_split(folder, split)
            digest.add(role, split, found.file.read_bytes())
            for part, id_ in sorted(found.members):
                if part not in listings:
                    listings[part] = Listing(folder / part / "JPEGImages")
                try:
                    xml = (folder / part / "Annotations" / f"{id_}.xml").read_bytes()
                except OSError:
                    xml = b""
                digest.add(id_, xml)
                # Both names by which the reader may find the image; which one it takes is its business.
                names = {match.decode(errors="replace") for match in _XML_FILENAME.findall(xml)}
                names = {name for name in names if listings[part].has(name)}
                images.setdefault(part, set()).update(names, {listings[part].image_of(id_) or id_})
    for part in sorted(images):
        digest.add(part)
        digest.add_files(listings[part], images[part])


def _add_coco(digest: _Digest, part: CocoSplit, folder: Path) -> None:
    file = expand(part.annotations, folder)
    listing = Listing(expand(part.images, folder))
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            digest.add(content)
            # Parsing the JSON of train2017 takes many times as long as finding its file names.
            names = {json.loads(match) for match in _JSON_FILE_NAME.findall(content)}
    except FileNotFoundError:
        raise BenchError(f"{file}: no such file; put the annotations there or mend the suite") from None
    except (OSError, ValueError) as error:
        raise BenchError(f"{file}: cannot be read as JSON: {error}") from None
    digest.add_files(listing, filter(stays_inside, names))
