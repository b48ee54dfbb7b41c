"""What every metric of this room returns, and what it asks of its input."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.errors import BenchError


class Scores(NamedTuple):
    """Metrics over all categories and of each one; fractions 0..1 at full precision, -1 where undefined."""

    metrics: dict[str, float]
    per_category: dict[str, dict[str, float]]
    """By category name as `category_names` has it, in ascending order of the id."""


def category_names(gt: Mapping[str, Any]) -> dict[int, str]:
    """Id to name of each category, by ascending id; a name that repeats becomes `name#id`."""
    plain = {category["id"]: str(category["name"]) for category in gt["categories"]}
    count = Counter(plain.values())
    names = {key: f"{plain[key]}#{key}" if count[plain[key]] > 1 else plain[key] for key in sorted(plain)}
    if len(set(names.values())) == len(names):
        return names
    return {key: f"{plain[key]}#{key}" for key in sorted(plain)}  # some name was `a#1` to begin with


def check_references(gt: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a detection on an image or of a category that the ground truth lacks, counted from 0.

    pycocotools leaves such detections out without a word, and a wrong id mapping then looks like a bad
    detector.

    Raises:
        BenchError: naming the first such detection.
    """
    known = {"image_id": {i["id"] for i in gt["images"]}, "category_id": {c["id"] for c in gt["categories"]}}
    for key, ids in known.items():
        for index, detection in enumerate(detections):
            if detection[key] not in ids:
                raise BenchError(f"detection {index}: {key} {detection[key]} is not in the ground truth")
