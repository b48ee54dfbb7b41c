"""Where the objects of a scene stand: number, class, size, place and order of painting."""

from typing import NamedTuple

from bench.data.shapes import Flavour
from bench.data.shapes.classes import class_weights
from bench.data.shapes.fixed import ONE, TURN, power
from bench.data.shapes.raster import GRID
from bench.data.shapes.rng import Stream

_COUNTS: dict[Flavour, tuple[int, ...]] = {
    "voc": (10, 60, 100, 120, 120, 110, 90, 70, 50),
    "coco": (10, 70, 80, 90, 90, 80, 70, 60, 50),
}
"""Weights of 0, 1, 2 ... objects."""
_TILT = TURN * 18 // 360
_LARGEST: dict[Flavour, tuple[int, int]] = {"voc": (1, 2), "coco": (7, 10)}
"""Largest object, as a fraction of the side."""


class Placement(NamedTuple):
    """One upright outline: centre and half extents before the turn in 1/GRID px, turn in 1/TURN."""

    x: int
    y: int
    hx: int
    hy: int
    turn: int


class Item(NamedTuple):
    """One object, or a crowd of one class that shares a box."""

    label: int
    placements: tuple[Placement, ...]
    crowd: bool


def smallest(flavour: Flavour, side: int) -> int:
    """Size of the smallest objects, px: at least 8 (a cell of stride 8).

    10 % of the side in VOC, whose photos show few objects and show them large; 3 % of it in COCO.
    """
    return max(8, side * (10 if flavour == "voc" else 3) // 100)


def plan(stream: Stream, flavour: Flavour, side: int) -> list[Item]:
    """Items of one scene in the order of painting: mostly large ones first, so small ones stay in sight."""
    count = stream.weighted(_COUNTS[flavour])
    count += count * min(max(side - 128, 0), 384) // 384
    sizes = sorted((_size(stream, flavour, side) for _ in range(count)), reverse=True)
    for i in range(count - 1):
        if stream.chance(1, 4):
            sizes[i], sizes[i + 1] = sizes[i + 1], sizes[i]
    placed: list[Placement] = []
    for size in sizes:
        placed.append(_place(stream, side, size, placed))
    weights = class_weights(flavour)
    items = [Item(stream.weighted(weights), (p,), False) for p in placed]
    if flavour == "coco" and count and stream.chance(1, 25):
        items.append(_crowd(stream, side, stream.weighted(weights)))
    return items


def _size(stream: Stream, flavour: Flavour, side: int) -> int:
    """Size in 1/GRID px, log-uniform from the smallest to the largest; in COCO half of the draws lean to small."""
    low, high = smallest(flavour, side) * GRID, side * GRID * _LARGEST[flavour][0] // _LARGEST[flavour][1]
    rungs = 0
    while low * power(rungs + 1) // ONE <= high:
        rungs += 1
    rung = stream.between(0, rungs)
    if flavour == "coco" and stream.chance(1, 2):
        rung = min(rung, stream.between(0, rungs))
    return low * power(rung) // ONE


def _place(stream: Stream, side: int, size: int, placed: list[Placement]) -> Placement:
    """Random shape and place; a few tries avoid near-coincidence with another object."""
    aspect, turn = stream.between(-4, 4), stream.between(-_TILT, _TILT)
    hx, hy = size * power(aspect) // (2 * ONE), size * power(-aspect) // (2 * ONE)
    # One object in five may leave the image by up to half of its half extent: truncation.
    inset = size // 4 if stream.chance(1, 5) else size * 9 // 16
    inset = min(inset, side * GRID // 2)
    for _ in range(8):
        x, y = (stream.between(inset, side * GRID - inset) for _ in range(2))
        candidate = Placement(x, y, hx, hy, turn)
        if not any(_too_close(candidate, other) for other in placed):
            break
    return candidate


def shared_area(a: Placement, b: Placement) -> int:
    """Intersection of two unturned boxes, in (1/GRID px)^2."""
    width = min(a.x + a.hx, b.x + b.hx) - max(a.x - a.hx, b.x - b.hx)
    height = min(a.y + a.hy, b.y + b.hy) - max(a.y - a.hy, b.y - b.hy)
    return max(width, 0) * max(height, 0)


def _too_close(a: Placement, b: Placement) -> bool:
    """Unturned boxes share more than 2/5 of the smaller one."""
    return shared_area(a, b) * 5 > 2 * 4 * min(a.hx * a.hy, b.hx * b.hy)


def _crowd(stream: Stream, side: int, label: int) -> Item:
    """Six to twelve small objects of one class, packed so tightly that nobody would box each of them."""
    size = max(6, side // 16) * GRID
    reach = (2 * size, size)
    x, y = stream.between(2 * size, side * GRID - 2 * size), stream.between(2 * size, side * GRID - 2 * size)
    group = []
    for _ in range(stream.between(6, 12)):
        dx, dy = stream.between(-reach[0], reach[0]), stream.between(-reach[1], reach[1])
        turn = stream.between(-_TILT, _TILT)
        group.append(Placement(x + dx, y + dy, size // 2, size // 2, turn))
    return Item(label, tuple(group), True)
