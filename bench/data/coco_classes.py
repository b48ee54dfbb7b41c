"""Which categories of a COCO file are classes, and how those of two splits are paired: by name, never by id or place.

Files of one data set number their categories as the tool that wrote them pleases. The training split's order is that
of the labels; each other split follows it by name.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.data.coco_json import CocoContent, Parts, read_coco_json
from bench.data.dataset import Problem
from bench.data.paths import expand
from bench.errors import BenchError, UsageError
from bench.schema.data import CocoData, Split


def categories_of(
    spec: CocoData, split: Split, file: Path, folder: Path, content: CocoContent, problems: list[Problem]
) -> Parts:
    """The classes, in the order of the labels: the suite's, else that of the training split."""
    first = split == "train" or file == expand(spec.train.annotations, folder)
    if spec.classes is None:
        names = () if first else _training_classes(spec, folder)
        own = own_classes(file, content, problems, names)
        return own if first else paired(file, own, content.annotations, names, problems)
    own = own_classes(file, content, problems, spec.classes)
    if first or {category["name"] for category in own}.issuperset(spec.classes):
        return selected(file, own, spec.classes)
    # A class that this file lacks must be one of the training split: else it is a slip of the pen.
    if set(spec.classes).difference(_training_classes(spec, folder)):
        return selected(file, own, spec.classes)
    chosen = [category for category in own if category["name"] in spec.classes]
    return paired(file, chosen, content.annotations, spec.classes, problems)


def _training_classes(spec: CocoData, folder: Path) -> tuple[str, ...]:
    """Names of the training split's categories; the file is read once in a process, however many splits follow it."""
    file = expand(spec.train.annotations, folder)
    try:
        facts = file.stat()
    except OSError as error:
        raise BenchError(f"{file}: the training split's categories cannot be read: {error.strerror}") from None
    return _names_in(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _names_in(file: Path, size: int, changed: int) -> tuple[str, ...]:
    return tuple(category["name"] for category in own_classes(file, read_coco_json(file, [], files=False), []))


def own_classes(file: Path, content: CocoContent, problems: list[Problem], known: Sequence[str] = ()) -> Parts:
    """The file's categories by ascending id, without roots; each has `id` and `name`.

    A root is what Roboflow writes above the classes: a category without annotations that is the supercategory of
    another one, or that bears the name of another one. `known` are the training split's names: one of them is a class
    here too. UsageError where a name still stands twice.
    """
    used = {annotation["category_id"] for annotation in content.annotations}
    found = sorted(content.categories, key=lambda category: int(category["id"]))
    kept = [category for category in found if category["id"] in used or not _is_root(category, found, known)]
    for category in found:
        if category not in kept:
            where = f"{file.name} category {category['id']}"
            problems.append(Problem("root-category", where, f"{category['name']!r} has no annotation: dropped"))
    names = [category["name"] for category in kept]
    if twice := _repeated(names):
        raise UsageError(f"{file}: categories: a name stands twice, {twice!r}; names must be unique")
    return [{"id": category["id"], "name": category["name"]} for category in kept]


def _is_root(category: dict[str, Any], every: Parts, known: Sequence[str]) -> bool:
    """Whether a category without annotations only stands above others."""
    others = [other for other in every if other["id"] != category["id"]]
    if any(other["name"] == category["name"] for other in others):
        return True
    top = category.get("supercategory") in (None, "", "none", category["name"])
    above = any(other.get("supercategory") == category["name"] for other in others)
    return top and above and category["name"] not in known


def selected(file: Path, declared: Parts, classes: Sequence[str]) -> Parts:
    """The categories that the suite's `classes` name, in its order; UsageError for one that the file lacks."""
    by_name = {category["name"]: category for category in declared}
    if lacking := [name for name in classes if name not in by_name]:
        raise UsageError(f"{file}: no category {lacking[0]!r}; there are: {', '.join(sorted(by_name))}")
    if twice := _repeated(classes):
        raise UsageError(f"{file}: {twice!r} stands twice in the suite's classes: {', '.join(classes)}")
    return [by_name[name] for name in classes]


def paired(file: Path, own: Parts, annotations: Parts, names: Sequence[str], problems: list[Problem]) -> Parts:
    """The categories of another split in the order of the training split's `names`.

    A name that this file lacks gets an id above all of its own: the model may find objects of that class, and all of
    them are wrong. One that only this file has is dropped if it has no annotation.
    Raises UsageError with both lists where it has some: no model could find them.
    """
    by_name = {category["name"]: category for category in own}
    with_boxes = {annotation["category_id"] for annotation in annotations}
    foreign = [category for category in own if category["name"] not in names]
    if unpaired := [category["name"] for category in foreign if category["id"] in with_boxes]:
        raise UsageError(
            f"{file}: has objects of {unpaired[0]!r}, which is no category of the training split; "
            f"here: {', '.join(sorted(by_name))}; there: {', '.join(names)}; choose some by `classes`"
        )
    for category in foreign:
        where = f"{file.name} category {category['id']}"
        problems.append(Problem("unpaired-category", where, f"{category['name']!r} is not in training: dropped"))
    top = max((category["id"] for category in own), default=0)
    lacking = [name for name in names if name not in by_name]
    for number, name in enumerate(lacking, start=1):
        by_name[name] = {"id": top + number, "name": name}
        problems.append(Problem("absent-category", f"{file.name} category {name!r}", "only the training split has it"))
    return [by_name[name] for name in names]


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for index, name in enumerate(names) if name in names[:index]), None)
