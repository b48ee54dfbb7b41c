"""Classes of the two flavours: every outline with every fill, and how often each is drawn."""

from bench.data.shapes import Flavour
from bench.schema.categories import SHAPES


def parts(flavour: Flavour) -> tuple[tuple[str, str], ...]:
    """(outline, fill) of each label."""
    outlines, fills = SHAPES[f"shapes-{flavour}"]
    return tuple((outline, fill) for outline in outlines for fill in fills)


def class_names(flavour: Flavour) -> tuple[str, ...]:
    """Name of each label, such as `striped-star`: 20 or 80."""
    return tuple(f"{fill}-{outline}" for outline, fill in parts(flavour))


def class_weights(flavour: Flavour) -> tuple[int, ...]:
    """Relative frequency of each label: 2 to 1 from first to last rank in VOC, 21 to 1 in COCO (a long tail).

    A stride coprime to the number of classes spreads the ranks, so no outline or fill is rare as a whole.
    """
    count, stride = len(parts(flavour)), 7 if flavour == "voc" else 37
    ranks = [label * stride % count for label in range(count)]
    if flavour == "voc":
        return tuple(2 * count - rank for rank in ranks)
    return tuple(100_000 // (rank + 4) for rank in ranks)
