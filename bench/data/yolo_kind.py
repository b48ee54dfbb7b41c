"""A YOLO folder as a data set."""

from pathlib import Path
from typing import Any

from bench.data.dataset import Dataset, Problem, printable, summary
from bench.data.kind import Digest, FolderKind
from bench.data.paths import Listing
from bench.data.yolo_files import Label, YoloFile, label_file, read_labels, read_yaml
from bench.errors import BenchError, UsageError
from bench.schema.data import Split, YoloData


class YoloKind(FolderKind[YoloData]):
    """Identified by the bytes of `data.yaml` and of the label files, and name and size of the images."""

    usual_classes = 80

    def __init__(self, spec: YoloData, root: Path) -> None:
        super().__init__(spec, root)
        self.path = spec.path

    @property
    def title(self) -> str:
        """With the split that is scored."""
        return f"{self.short_name} (YOLO form): {self.spec.test}"

    @property
    def class_count(self) -> int | None:
        """Known where the suite selects them."""
        return len(self.spec.classes) if self.spec.classes else None

    def absent(self) -> tuple[str, ...]:
        """The YAML file, and each folder or list that it names."""
        file = self.folder / self.spec.file
        if not file.exists():
            return (f"{file}: no such file",)
        found = []
        for split in self.splits:
            try:
                if not self._yaml().images(getattr(self.spec, split)):
                    found.append(f"{file}: {getattr(self.spec, split)}: no image there")
            except BenchError as error:
                found.append(str(error))
        return tuple(found)

    def unusable(self) -> str | None:
        """Where no label file of a split gives a box."""
        yaml = self._yaml()
        for split in self.splits:
            problems: list[Problem] = []
            for image in yaml.images(getattr(self.spec, split)):
                if read_labels(yaml, image, problems):
                    break
            else:
                return printable(f"{self.folder}: no box in any label file of split {split}: {summary(problems)}")
        return None

    def identify(self, digest: Digest) -> None:
        """Split by split."""
        yaml = self._yaml()
        digest.add(yaml.file.read_bytes())
        listing = Listing(yaml.base)
        for split in self.splits:
            images = yaml.images(getattr(self.spec, split))
            digest.add(split)
            for image in images:
                path = yaml.base / label_file(image)
                digest.add(image, path.read_bytes() if path.is_file() else b"")
            digest.add_files(listing, images)

    def read(self, split: Split, cache: Path, *, verify: bool) -> Dataset:
        """The header of every image is probed in any case. Image ids are places in the sorted list, from 1."""
        if split not in self.splits:
            raise UsageError(f"data {self.path}: no {split} split is declared; add `{split}: key of data.yaml`")
        yaml, problems = self._yaml(), list[Problem]()
        labels, categories = self._classes(yaml)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, name in enumerate(yaml.images(getattr(self.spec, split)), start=1):
            image = _image(yaml.base, name, number, problems)
            if image is None:
                continue
            images.append(image)
            for label in read_labels(yaml, name, problems):
                if label.number in labels:
                    annotations.append(_annotation(label, labels[label.number], image, len(annotations) + 1))
                    _check(annotations[-1], image, problems)
        if not images:
            first = f"; first problem: {problems[0].kind} {problems[0].text}" if problems else ""
            raise BenchError(f"{yaml.file}: no image of split {split} can be used{first}")
        coco = {"images": images, "annotations": annotations, "categories": categories}
        return Dataset(f"{self.short_name}/{split}", yaml.base, coco, tuple(problems))

    def _yaml(self) -> YoloFile:
        return read_yaml(self.folder / self.spec.file)

    def _classes(self, yaml: YoloFile) -> tuple[dict[int, int], list[dict[str, Any]]]:
        """Category id by the class's number in the files, and the categories."""
        chosen = self.spec.classes or yaml.names
        if lacking := [name for name in chosen if name not in yaml.names]:
            raise UsageError(f"{yaml.file}: no class {lacking[0]!r}; there are: {', '.join(yaml.names)}")
        if len(set(chosen)) < len(chosen):
            raise UsageError(f"data {self.path}: a name stands twice in classes: {', '.join(chosen)}")
        categories = [{"id": number, "name": name} for number, name in enumerate(chosen, start=1)]
        return {yaml.names.index(name): number for number, name in enumerate(chosen, start=1)}, categories


def _image(base: Path, name: str, number: int, problems: list[Problem]) -> dict[str, Any] | None:
    from bench.data.images import probe

    try:
        facts = probe(base / name)
    except BenchError as error:
        kind = "unreadable-image" if (base / name).exists() else "absent-image"
        problems.append(Problem(kind, name, f"{error}: left out with its boxes"))
        return None
    return {"id": number, "file_name": name, "width": facts.width, "height": facts.height}


def _annotation(label: Label, category: int, image: dict[str, Any], number: int) -> dict[str, Any]:
    x, y, width, height = label.box
    wide, high = image["width"], image["height"]
    box = [x * wide, y * high, width * wide, height * high]
    return {
        "id": number,
        "image_id": image["id"],
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


def _check(annotation: dict[str, Any], image: dict[str, Any], problems: list[Problem]) -> None:
    """Report a box that stands out of its image by more than a pixel."""
    x, y, width, height = annotation["bbox"]
    wide, high = image["width"], image["height"]
    if max(-x, -y, x + width - wide, y + height - high) > 1:
        detail = f"{x:g} {y:g} {width:g} {height:g} stands out of {wide}x{high}, kept as it is"
        problems.append(Problem("outside-box", image["file_name"], detail))
