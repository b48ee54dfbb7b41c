"""Groups of categories as a user names them on the command line, for a ground truth that no suite describes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.errors import UsageError
from bench.evaluation.scores import category_names
from bench.schema.categories import SHAPES, builtin_groups
from bench.schema.check_groups import misnamed
from bench.schema.faults import unknown
from bench.schema.group import NO_GROUPS, Groups

UNNAMED = "critical"
"""The group of a bare list of categories."""
_TAXONOMIES = ("coco", "voc", *SHAPES)


class Critical:
    """The groups that may be named: declared ones, the file's super-categories, and those of known taxonomies."""

    def __init__(
        self, gt: Mapping[str, Any], declared: Groups = NO_GROUPS, lacking: Mapping[str, str] | None = None
    ) -> None:
        """`lacking` says of groups that are declared why their categories are not known yet."""
        names = category_names(gt)
        self.categories = tuple(names.values())
        self.known = dict(_known(self.categories)) | _above(gt, names) | dict(declared)
        self.lacking = lacking or {}

    def parse(self, text: str, option: str = "--critical") -> tuple[str, tuple[str, ...]]:
        """Name and categories of `GROUP`, `NAME=CATEGORY,CATEGORY`, or `CATEGORY,CATEGORY`.

        A group has precedence over a category of its name. Raises UsageError for a name that is neither, an empty
        group, a category that stands twice, or a group of all categories.
        """
        if text in self.lacking:
            raise UsageError(f"{option} {text}: {self.lacking[text]}")
        name, equals, listed = text.rpartition("=")
        if not equals and text in self.known:
            return self._sound(text, self.known[text], f"{option} {text}")
        categories = tuple(filter(None, (part.strip() for part in listed.split(","))))
        if not categories or (equals and not name):
            raise UsageError(f"{option} {text}: names no category; it is GROUP, CATEGORY,… or NAME=CATEGORY,…")
        if not equals and len(categories) == 1 and categories[0] not in self.categories:
            raise UsageError(f"{option} {text}: {unknown('group', text, [*self.known, *self.categories])}")
        return self._sound(name or UNNAMED, categories, f"{option} {text}")

    def groups(self, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """All that were named, in order; UsageError as `parse` has it, or where two have one name."""
        found: dict[str, tuple[str, ...]] = {}
        for text in texts:
            name, categories = self.parse(text)
            if name in found:
                raise UsageError(f"--critical {text}: there is a group {name!r} already; write NAME=CATEGORY,…")
            found[name] = categories
        return found

    def _sound(self, name: str, categories: tuple[str, ...], where: str) -> tuple[str, tuple[str, ...]]:
        for _, fault in misnamed(name, categories, self.categories):
            raise UsageError(f"{where}: {fault}")
        return name, categories


def _above(gt: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """The file's own super-categories."""
    found: dict[str, tuple[str, ...]] = {}
    for category in sorted(gt["categories"], key=lambda category: int(category["id"])):
        if above := category.get("supercategory"):
            found[above] = (*found.get(above, ()), names[category["id"]])
    return found


def _known(categories: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Groups of the first taxonomy all of whose groups are there."""
    for kind in _TAXONOMIES:
        groups = builtin_groups(kind)
        if all(set(group.categories) <= set(categories) for group in groups.values()):
            yield from ((name, group.categories) for name, group in groups.items())
            return
