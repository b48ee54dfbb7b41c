"""One scene: background, objects painted in order, boxes; every image depends on its own name alone."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.data.shapes import Flavour
from bench.data.shapes.classes import class_names, parts
from bench.data.shapes.colour import Colour, draw_apart
from bench.data.shapes.layout import Item, plan, shared_area, smallest
from bench.data.shapes.paint import Mask, paint
from bench.data.shapes.raster import Ints
from bench.data.shapes.rng import Stream
from bench.data.shapes.texture import background
from bench.schema.data import Split

__all__ = ["Scene", "SceneObject", "class_names", "render"]

_HIDDEN: dict[Flavour, tuple[int, int]] = {"voc": (60, 95), "coco": (80, 80)}
"""Percent hidden above which an object is difficult, and above which it is left out."""


class SceneObject(NamedTuple):
    """One box; `area` counts the silhouette's pixels in the image, holes and hidden parts included."""

    label: int
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in px, exclusive at the right and bottom, tight around the unoccluded silhouette."""
    area: int
    crowd: bool
    difficult: bool


class Scene(NamedTuple):
    """An image, [side, side, 3] RGB, and its objects in the order of painting."""

    pixels: npt.NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


class _Drawn(NamedTuple):
    item: Item
    silhouette: Mask
    opaque: Mask


def render(flavour: Flavour, side: int, split: Split, index: int) -> Scene:
    """Scene number `index` of a split; `side` in px, 32 to 1024."""
    stream = Stream(f"shapes/{flavour}/{side}/{split}/{index}")
    canvas, tone = background(stream, side)
    items = plan(stream, flavour, side)
    colours = _colours(stream, items, tone)
    drawn = [_draw(canvas, flavour, item, pairs) for item, pairs in zip(items, colours, strict=True)]
    owner = np.zeros((side, side), dtype=np.int16)
    for number, item in enumerate(drawn, start=1):
        owner[item.opaque] = number
    seen = np.bincount(owner.ravel(), minlength=len(drawn) + 1)[1:]
    found = [_object(d, int(s), flavour, side) for d, s in zip(drawn, seen, strict=True)]
    return Scene(_exposed(stream, canvas), tuple(o for o in found if o is not None))


def _colours(stream: Stream, items: list[Item], tone: Colour) -> list[list[tuple[Colour, Colour]]]:
    """Two colours of each placement, apart from the background and from earlier objects that it touches."""
    colours: list[list[tuple[Colour, Colour]]] = []
    for number, item in enumerate(items):
        place = item.placements[0]
        below = [colours[i][0][0] for i in range(number) if shared_area(items[i].placements[0], place)]
        firsts = [draw_apart(stream, [tone, *below], 260) for _ in item.placements]
        colours.append([(first, draw_apart(stream, [first, tone], 230)) for first in firsts])
    return colours


def _draw(canvas: Ints, flavour: Flavour, item: Item, colours: list[tuple[Colour, Colour]]) -> _Drawn:
    """Paint one item; its masks are [side, side]."""
    silhouette, opaque = np.zeros((2, *canvas.shape[:2]), dtype=np.bool_)
    for place, pair in zip(item.placements, colours, strict=True):
        done = paint(canvas, parts(flavour)[item.label], place, pair)
        silhouette[done.window.slices] |= done.silhouette
        opaque[done.window.slices] |= done.opaque
    return _Drawn(item, silhouette, opaque)


def _object(drawn: _Drawn, seen: int, flavour: Flavour, side: int) -> SceneObject | None:
    """Box of an item of which `seen` painted pixels stayed in sight, or None where too few did."""
    painted = int(np.count_nonzero(drawn.opaque))
    difficult, absent = (100 * (painted - seen) > percent * painted for percent in _HIDDEN[flavour])
    if absent or seen == 0:
        return None
    columns, rows = (np.flatnonzero(drawn.silhouette.any(axis=axis)) for axis in (0, 1))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    tiny = 4 * (box[2] - box[0]) * (box[3] - box[1]) < 5 * smallest(flavour, side) ** 2
    return SceneObject(
        label=drawn.item.label,
        box=box,
        area=int(np.count_nonzero(drawn.silhouette)),
        crowd=drawn.item.crowd,
        difficult=flavour == "voc" and (difficult or tiny),
    )


def _exposed(stream: Stream, canvas: Ints) -> npt.NDArray[np.uint8]:
    """The photograph of a canvas: a random exposure and a little grain, clipped to 0 to 255."""
    gain = stream.between(208, 288)
    grain = (stream.octets(canvas.shape[0] * canvas.shape[1]) & 3).astype(np.int64).reshape(canvas.shape[:2])
    exposed = (canvas * gain >> 8) + (grain - 2)[:, :, None]
    pixels: npt.NDArray[np.uint8] = np.minimum(np.maximum(exposed, 0), 255).astype(np.uint8)
    return pixels
