"""What every metric of this room returns."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple


class Scores(NamedTuple):
    """Metrics over all categories and of each one; fractions 0..1 at full precision, -1 where undefined."""

    metrics: dict[str, float]
    per_category: dict[str, dict[str, float]]
    """By category name as `category_names` has it, in ascending order of the id."""
    scorer: str = "bench"
    """What computed them, with its version where it is a library, such as `hotcoco 1.3.0`."""
    images: dict[str, int] | None = None
    """By category: images with an object that counts; None of a metric that does not tell."""


def category_names(gt: Mapping[str, Any]) -> dict[int, str]:
    """Id to name of each category, by ascending id; a name that repeats becomes `name#id`."""
    plain = {category["id"]: str(category["name"]) for category in gt["categories"]}
    count = Counter(plain.values())
    names = {key: f"{plain[key]}#{key}" if count[plain[key]] > 1 else plain[key] for key in sorted(plain)}
    if len(set(names.values())) == len(names):
        return names
    return {key: f"{plain[key]}#{key}" for key in sorted(plain)}  # some name was `a#1` to begin with
