"""What is allowed in a data set and yet is rarely meant: each is a warning, nothing is altered by it.

`verify`, `score` and `submit` say these; the readers themselves report what they leave out or mend.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.data.dataset import Problem, summary

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SLACK = 1.0
"""px: polygons stand out of an image that far."""
_FEW = 0.1
"""Share of boxes that must end outside before they are taken for corners."""
_AREA = (0.01, 1.05)
"""A mask covers between this share of its box (COCO's smallest: 2 %) and this one."""


def doubts(coco: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Problem]:
    """Of ground truth in COCO's form: areas that do not fit, normalised boxes, corners for sizes, near-equal names."""
    annotations = coco["annotations"]
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    found = [
        *_no_object(annotations),
        *_areas(annotations),
        *_names([category["name"] for category in coco["categories"]]),
    ]
    if annotations:
        import numpy as np

        boxes = np.array([annotation["bbox"] for annotation in annotations], float).reshape(-1, 4)
        whole = np.array([sizes.get(annotation["image_id"], (0, 0)) for annotation in annotations], float)
        found += box_doubts(boxes, whole)
    return found


def box_doubts(boxes: "npt.NDArray[np.float64]", sizes: "npt.NDArray[np.float64]") -> list[Problem]:
    """Of boxes as `x, y, w, h` px, (n, 4), on images of `sizes` w, h px, (n, 2), 0 where unknown."""
    import numpy as np

    known = (sizes > 0).all(axis=1)
    boxes, sizes = boxes[known], sizes[known]
    if not len(boxes):
        return []
    if np.abs(boxes).max() <= 1 and boxes[:, 2:].max() > 0 and sizes.min() > 2:
        return [
            Problem("normalised-boxes", f"all {len(boxes)} boxes", "no number above 1: fractions where px should be")
        ]
    outside = (boxes[:, :2] + boxes[:, 2:] > sizes + _SLACK).any(axis=1)
    corners = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (boxes[:, 2:] <= sizes + _SLACK).all(axis=1)
    if outside.mean() > _FEW and corners.all():
        what = f"{outside.sum()} end outside as x, y, width, height, none as two corners x1, y1, x2, y2"
        return [Problem("xyxy-boxes", f"all {len(boxes)} boxes", what)]
    return []


def _no_object(annotations: Sequence[Mapping[str, Any]]) -> list[Problem]:
    if not all(annotation["iscrowd"] for annotation in annotations):
        return []
    return [Problem("no-object", f"all {len(annotations)} annotations", "none is an object, so no score is defined")]


def _areas(annotations: Iterable[Mapping[str, Any]]) -> list[Problem]:
    least, most = _AREA
    found = []
    for annotation in annotations:
        _, _, width, height = annotation["bbox"]
        box, area = width * height, annotation["area"]
        if not annotation["iscrowd"] and box > 1 and not least * box - 1 <= area <= most * box + 1:
            detail = f"area {area:g} of a box of {width:g}x{height:g}; it decides what counts as small or large"
            found.append(Problem("area-mismatch", f"annotation {annotation['id']}", detail))
    return found


def _names(names: Sequence[str]) -> list[Problem]:
    """Classes that differ in letter case, spaces or punctuation alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        alike["".join(filter(str.isalnum, plain)) or plain].append(name)
    return [
        Problem("near-equal-names", "classes", f"{', '.join(map(repr, same))}: perhaps one class")
        for same in alike.values()
        if len(same) > 1
    ]


def twins(split: str, digests: Mapping[str, str], listed: Iterable[str]) -> list[Problem]:
    """Images of one split that are there twice: listed twice, or two files with the same bytes.

    `digests` holds the hash of each file's bytes by name, `listed` a name for each image.
    """
    found = [
        Problem("twin-image", name, f"{count} images of split {split} are this file")
        for name, count in Counter(listed).items()
        if count > 1
    ]
    first: dict[str, str] = {}
    for name, digest in digests.items():
        other = first.setdefault(digest, name)
        if other != name:
            found.append(Problem("twin-image", name, f"has the bytes of {other}"))
    return found


def shared(digests: Mapping[str, Mapping[str, str]]) -> list[Problem]:
    """Images that two splits have in common, by content; `digests` as in `twins`, by split."""
    found = []
    splits = list(digests)
    for number, split in enumerate(splits):
        for earlier in splits[:number]:
            names = {digest: name for name, digest in digests[earlier].items()}
            for name, digest in digests[split].items():
                if digest in names:
                    same = "" if names[digest] == name else f" as {names[digest]}"
                    found.append(Problem("shared-image", name, f"of split {split} is in {earlier} too{same}"))
    return found


def by_kind(problems: Iterable[Problem], every: bool = False) -> list[str]:
    """One line a kind with its number and the first three; with `every` a line for each problem."""
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.kind].append(problem)
    if every:
        return [f"{kind}: {problem.text}" for kind, same in kinds.items() for problem in same]
    return [f"{kind}, {len(same)}: {summary(same)}" for kind, same in kinds.items()]
