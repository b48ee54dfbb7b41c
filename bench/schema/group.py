"""Groups of categories, whose numbers stand beside the overall ones: critical categories (arXiv 2407.03442).

A group is no part of a job: it changes what is read from records, never what is run.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from bench.schema.base import Count, Slug, Spec, Text
from bench.schema.categories import Builtin, builtin_groups
from bench.schema.data import DataSpec

GROUP = r"[a-z0-9][a-z0-9_-]*"
"""A group's name: no dot, because a metric of a group is `GROUP.METRIC`."""
FEW = 20
"""With its objects on fewer images, nothing is concluded from the change of a category: so few show too little."""
GroupName = Annotated[str, Field(pattern=f"^{GROUP}$", max_length=40)]


class MostImpacted(Spec):
    """The categories that a quantization hurts most: chosen on the tune split, reported on the test split."""

    count: Count
    """How many categories."""
    row: Slug
    """A row with quantizers that is scored on the tune split (`scored: tune`)."""
    reference: Slug
    """What it loses against, such as the full-precision row; scored on the tune split as well."""
    min_images: Count = FEW
    """A category with its objects on fewer images of the tune split is not chosen: its AP moves by chance."""


class CategoryGroup(Spec):
    """Some of the categories. Its numbers are means over them, as the overall ones are means over all."""

    categories: tuple[Text, ...] | None = Field(default=None, min_length=1)
    """Names of the data set's categories."""
    builtin: Slug | None = None
    """Name of a group of the data set's own taxonomy: COCO `person`, `vehicle`, `animal`; VOC the same and `indoor`;
    Shapes an outline such as `star` or a fill such as `striped`."""
    most_impacted: MostImpacted | None = None
    """A rule that chooses the categories from records."""
    source: Text | None = None
    """Whose choice the group is, such as `ours`; needed beside `categories`, printed below the table."""

    @model_validator(mode="after")
    def _one_way(self) -> "CategoryGroup":
        given = [name for name in ("categories", "builtin", "most_impacted") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"`{name}`" for name in given) or "none"
            raise ValueError(f"needs one of `categories`, `builtin` and `most_impacted`, found {found}")
        if self.categories is not None and self.source is None:
            raise ValueError("`categories` need a `source`: whose choice they are, such as `ours`")
        return self

    def fixed(self, data: DataSpec) -> Builtin | None:
        """Categories and source on these data; None where records choose them, or the data lack the built-in group."""
        if self.categories is not None:
            return Builtin(self.categories, self.source or "")
        found = builtin_groups(data.kind).get(self.builtin or "")
        return found if found is None or self.source is None else Builtin(found.categories, self.source)


def with_categories(options: Mapping[str, Any], groups: Mapping[str, CategoryGroup], data: DataSpec) -> dict[str, Any]:
    """Options of a method with the categories of its `group`, where it names one that has them without records."""
    group = groups.get(str(options.get("group")))
    fixed = None if group is None else group.fixed(data)
    if fixed is None:
        return dict(options)
    return {**{key: value for key, value in options.items() if key != "group"}, "categories": list(fixed.categories)}


Groups = Mapping[str, tuple[str, ...]]
"""By name of a group its categories, once they are known."""
NO_GROUPS: Groups = {}
