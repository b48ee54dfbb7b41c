"""Any VOC directory: `JPEGImages/`, `Annotations/<id>.xml`, and `ImageSets/Main/<split>.txt` or a rule that splits it.

The header of each image is probed, however many there are: the XML beside it has to be opened anyway, and
without the header a rotated photo cannot be told. VOC 07+12 has 21,503 images.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.data.dataset import Dataset, Problem
from bench.data.images import probe, size_mismatch
from bench.data.kind import SPLITS
from bench.data.paths import Listed, Listing
from bench.data.voc_files import no_object, read_annotations, unusable
from bench.data.voc_kind import in_words, members
from bench.data.voc_xml import Box, VocFile, VocObject, to_coco_box
from bench.errors import BenchError, UsageError
from bench.schema.categories import VOC_CLASSES
from bench.schema.data import Split, VocData, VocRules


def read_voc(spec: VocData, split: Split, folder: Path) -> Dataset:
    """Read one split below `folder` (`spec.path`, expanded).

    Image ids are 1-based positions in the split lists, so that they do not move when an image is absent.
    An absent or unreadable image or annotation file takes its image out; a box without extent or outside the
    image is dropped; one partly outside is clipped; a float corner is kept; each is reported. An image
    without objects stays, as background, which `Dataset.counts` shows. `min_side` marks boxes with
    `train_ignore: 1`, which scoring does not look at.
    Raises UsageError for a split that the spec does not name, BenchError where nothing can be read.
    """
    problems: list[Problem] = []
    listed = members(folder, spec, split, problems)
    if not listed and spec.split is None and not getattr(spec, split):
        raise UsageError(f"data {spec.path}: no {split} split is declared; add '{split}: [name]'")
    parsed = read_annotations(folder, listed, problems)
    if not parsed and (reason := unusable(folder, listed, in_words(spec, split))):
        raise BenchError(reason)
    classes = spec.classes or _class_names(folder, spec, listed, parsed)
    if len(set(classes)) < len(classes):
        raise UsageError(f"data {spec.path}: a name stands twice in classes: {', '.join(classes)}")
    labels = {name: label for label, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    finder = _Finder(folder)
    foreign: Counter[str] = Counter()
    for image_id, member in enumerate(listed, start=1):
        if (file := parsed.get(member)) is None:
            continue
        image = finder.image(member, file, image_id, problems)
        if image is None:
            continue
        images.append(image)
        problems += file.problems
        for item in file.objects:
            if item.name not in labels:
                foreign[item.name] += 1
            elif not (item.difficult and spec.difficult == "drop"):
                box, found = to_coco_box(item, spec, image["width"], image["height"])
                where = f"{member.id}.xml object {item.number}"
                problems += [Problem(kind, where, detail) for kind, detail in found]
                if box is not None:
                    annotations.append(_annotation(item, box, spec, len(annotations) + 1, image_id, labels))
    problems += [
        Problem("unknown-class", split, f"{name!r} is not in classes: {n} boxes left out")
        for name, n in sorted(foreign.items())
    ]
    if not images:
        first = f"; first problem: {problems[0].kind} {problems[0].text}" if problems else ""
        raise BenchError(f"{folder}: no image of split {split} can be used{first}")
    coco = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for name, label in labels.items()],
    }
    return Dataset(f"{folder.name}/{split}", folder, coco, tuple(problems))


class _Finder:
    """Finds and probes images; keeps one listing for each VOC directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listings: dict[str, Listing] = {}

    def image(self, member: Listed, file: VocFile, image_id: int, problems: list[Problem]) -> dict[str, Any] | None:
        base = (Path(member.part) / "JPEGImages").as_posix()
        if base not in self._listings:
            self._listings[base] = Listing(self._folder / base)
        listing = self._listings[base]
        own = listing.image_of(member.id)
        # A name with a folder in it is where the image lay on the annotator's machine.
        named = file.filename if "/" not in file.filename and listing.has(file.filename) else None
        name = named or own
        if name is None:
            near = listing.near(file.filename) or listing.near(f"{member.id}.jpg")
            hint = f", but {near}" if near else ""
            detail = f"neither {file.filename!r} nor {member.id}.jpg, .png ... in {base}{hint}: left out"
            problems.append(Problem("absent-image", member.id, detail))
            return None
        if named and own and named != own:
            detail = f"<filename> {named} taken, not {own}"
            problems.append(Problem("filename-mismatch", f"{member.id}.xml", detail))
        try:
            facts = probe(self._folder / base / name)
        except BenchError as error:
            problems.append(Problem("unreadable-image", f"{base}/{name}", f"{error}: left out"))
            return None
        if file.size not in (None, f"{facts.width}x{facts.height}"):
            problems.append(size_mismatch(f"{member.id}.xml", file.size or "", facts))
        return {"id": image_id, "file_name": f"{base}/{name}", "width": facts.width, "height": facts.height}


def _class_names(
    folder: Path, spec: VocData, listed: Sequence[Listed], parsed: dict[Listed, VocFile]
) -> tuple[str, ...]:
    """VOC's 20 where every name in all declared splits is one of them, else the sorted names."""
    done = set(listed)
    every = dict.fromkeys(member for split in SPLITS for member in members(folder, spec, split, []))
    others = [member for member in every if member not in done]
    files = [*parsed.values(), *read_annotations(folder, others, []).values()]
    names = {item.name for file in files for item in file.objects}
    if not names:
        raise BenchError(no_object(folder, every))
    return VOC_CLASSES if names.issubset(VOC_CLASSES) else tuple(sorted(names))


def _annotation(
    item: VocObject, box: Box, rules: VocRules, id_: int, image_id: int, labels: dict[str, int]
) -> dict[str, Any]:
    _, _, width, height = box
    annotation = {
        "id": id_,
        "image_id": image_id,
        "category_id": labels[item.name],
        "bbox": list(box),
        "area": width * height,
        "iscrowd": int(item.difficult and rules.difficult == "crowd"),
        "difficult": int(item.difficult),
    }
    if min(width, height) < rules.min_side:
        annotation["train_ignore"] = 1
    return annotation
