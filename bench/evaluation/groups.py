"""The numbers of groups of categories (critical categories, arXiv 2407.03442), beside those of all categories.

Each number of COCO and VOC is a mean over categories, so that of a group follows from those of its categories. It is
what COCOeval gives with `params.catIds` set to the group: predictions and matching stay as they are. A category without
an object is left out of the mean, as it is of the overall one.
"""

from collections.abc import Mapping

from bench.evaluation.metric import BoxMetric
from bench.schema.group import Groups

Numbers = Mapping[str, float]
UNDEFINED = -1.0


def group_numbers(metric: BoxMetric, per_category: Mapping[str, Numbers], groups: Groups) -> dict[str, float]:
    """`GROUP.METRIC` of each group; -1 where no category of it has an object.

    A number that `per_category` lacks for a category of the group is not in the answer: old records have no recalls of
    single categories.
    """
    found = {}
    for group, categories in groups.items():
        own = [per_category.get(category, {}) for category in categories]
        for name, key in metric.by_category.items():
            if all(key in values for values in own):
                found[f"{group}.{name}"] = mean_defined([values[key] for values in own])
    return found


def mean_defined(values: list[float]) -> float:
    """The mean over those that are defined; -1 where none is."""
    defined = [value for value in values if value != UNDEFINED]
    return sum(defined) / len(defined) if defined else UNDEFINED
