"""A VOC directory as a data set. Imports nothing slow: planning identifies data by this."""

import re
from pathlib import Path

from bench.data.dataset import Dataset, Problem
from bench.data.kind import Digest, FolderKind
from bench.data.paths import Listed, Listing, read_split
from bench.data.voc_files import held_out, listed_once, no_object, unusable
from bench.schema.data import Split, VocData

_FILENAME = re.compile(rb"<filename>\s*([^<]*?)\s*</filename>")


class VocKind(FolderKind[VocData]):
    """Read by `bench.data.voc`; identified by the bytes of the split lists and of the annotation files that they name,
    and name and size of the images."""

    usual_classes = 20

    def __init__(self, spec: VocData, root: Path) -> None:
        super().__init__(spec, root)
        self.path = spec.path

    @property
    def title(self) -> str:
        """With the splits that are scored."""
        return f"{self.short_name} (VOC form): {split_name(self.spec, 'test')}"

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those with a list, or with a share of the images."""
        rule = self.spec.split
        if rule is None:
            return super().splits
        return ("train", "tune", "test") if rule.tune else ("train", "test")

    @property
    def class_count(self) -> int | None:
        """Known where the suite names them."""
        return len(self.spec.classes) if self.spec.classes else None

    def absent(self) -> tuple[str, ...]:
        """Split lists, and folders of annotation files and images."""
        folder = self.folder
        if self.spec.split is not None:
            wanted_here = (folder / name for name in ("Annotations", "JPEGImages"))
            return tuple(f"{path}: no such folder" for path in wanted_here if not path.is_dir())
        splits = (*self.spec.train, *self.spec.tune, *self.spec.test)
        parts = {split: folder / split.rpartition("/")[0] for split in splits}
        wanted = {
            parts[split] / "ImageSets" / "Main" / f"{split.rpartition('/')[2]}.txt": _there(part)
            for split, part in parts.items()
        }
        found = [f"{file}: no such split list; {there}" for file, there in wanted.items() if not file.exists()]
        folders = {part / name for part in parts.values() for name in ("Annotations", "JPEGImages")}
        return (*found, *(f"{path}: no such folder" for path in sorted(folders) if not path.is_dir()))

    def unusable(self) -> str | None:
        """Where no image of a split has an annotation file that can be read; one that can ends the search."""
        every: dict[Listed, None] = {}
        for role in self.splits:
            listed = members(self.folder, self.spec, role, [])
            if reason := unusable(self.folder, listed, in_words(self.spec, role)):
                return reason
            every |= dict.fromkeys(listed)
        return None if self.spec.classes else no_object(self.folder, every)

    def identify(self, digest: Digest) -> None:
        """Split by split, then the images of each VOC directory."""
        folder = self.folder
        listings: dict[str, Listing] = {}
        images: dict[str, set[str]] = {}

        def add(part: str, id_: str) -> None:
            if part not in listings:
                listings[part] = Listing(folder / part / "JPEGImages")
            xml = _bytes(folder / part / "Annotations" / f"{id_}.xml")
            digest.add(id_, xml)
            # Both names by which the reader may find the image; which one it takes is its business.
            names = {match.decode(errors="replace") for match in _FILENAME.findall(xml)}
            names = {name for name in names if listings[part].has(name)}
            images.setdefault(part, set()).update(names, {listings[part].image_of(id_) or id_})

        if self.spec.split is not None:
            for role in self.splits:
                digest.add(role, "held out")
                for part, id_ in members(folder, self.spec, role, []):
                    add(part, id_)
        for role, splits in (("train", self.spec.train), ("tune", self.spec.tune), ("test", self.spec.test)):
            for split in splits:
                found = read_split(folder, split)
                digest.add(role, split, found.file.read_bytes())
                for part, id_ in sorted(found.members):
                    add(part, id_)
        for part in sorted(images):
            digest.add(part)
            digest.add_files(listings[part], images[part])

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """The header of every image is probed in any case."""
        from bench.data.voc import read_voc

        return read_voc(self.spec, split, self.folder)


def members(folder: Path, spec: VocData, role: Split, problems: list[Problem]) -> list[Listed]:
    """The images of a split, by its lists or by the rule; each once."""
    if spec.split is not None:
        return held_out(folder, spec.split, role)
    return listed_once(folder, getattr(spec, role), problems)


def split_name(spec: VocData, role: Split) -> str:
    """What a split is called: its lists, or the rule."""
    if spec.split is None:
        return ", ".join(getattr(spec, role))
    share = {"test": spec.split.test, "tune": spec.split.tune, "train": 1 - spec.split.test - spec.split.tune}[role]
    return f"{share:.0%} of the images, seed {spec.split.seed}"


def in_words(spec: VocData, role: Split) -> str:
    """A split as messages call it, such as `train (trainval)`."""
    return f"{role} ({split_name(spec, role)})"


def _there(part: Path) -> str:
    """The split lists that a user may have meant."""
    lists = sorted(file.stem for file in (part / "ImageSets" / "Main").glob("*.txt"))[:8]
    rule = "; `split: {test: 0.2, seed: 0}` needs none" if (part / "Annotations").is_dir() and not lists else ""
    return f"there: {', '.join(lists) or 'no split lists'}{rule}"


def _bytes(path: Path) -> bytes:
    """An annotation file that is absent counts as empty: the reader goes on without it."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
