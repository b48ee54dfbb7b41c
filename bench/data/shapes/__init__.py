"""Shapes: deterministic scenes with exact boxes. Imports no array library, so planning stays fast."""

from typing import Literal

from bench.schema.data import ShapesCoco, ShapesVoc

Flavour = Literal["voc", "coco"]
"""`voc`: 20 classes, mildly uneven, difficult boxes; `coco`: 80 classes, long-tailed, crowd boxes."""

VERSION = 1
"""Raised whenever a pixel or a box of any scene changes."""


def flavour_of(spec: ShapesVoc | ShapesCoco) -> Flavour:
    """Flavour of the scenes that a specification asks for."""
    return "voc" if isinstance(spec, ShapesVoc) else "coco"


def folder_name(spec: ShapesVoc | ShapesCoco) -> str:
    """Name that tells one generated data set from every other: flavour, side in px, split sizes, version."""
    images = spec.images
    return f"shapes-{flavour_of(spec)}-{spec.side}-{images.train}-{images.tune}-{images.test}-v{VERSION}"
