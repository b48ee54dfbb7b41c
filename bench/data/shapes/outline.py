"""The ten outlines as polygons; x grows to the right, y downwards, the larger extent is -UNIT to UNIT."""

from typing import NamedTuple

from bench.data.shapes.fixed import ONE, TURN, cosine, sine

UNIT = 4096
"""Half the larger extent of an outline."""

Point = tuple[int, int]


class Outline(NamedTuple):
    """A polygon that is star-shaped around `core`, so that shrinking it towards `core` stays inside it."""

    points: tuple[Point, ...]
    core: Point


def _fitted(points: list[Point], core: Point, width: int = 100, height: int = 100) -> Outline:
    """Stretch a polygon and its core, in any integer unit, to `width` and `height` percent of 2 UNIT."""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)

    def fit(p: Point) -> Point:
        x = (2 * p[0] - left - right) * UNIT * width // (100 * (right - left))
        return x, (2 * p[1] - top - bottom) * UNIT * height // (100 * (bottom - top))

    return Outline(tuple(fit(p) for p in points), fit(core))


def _arc(centre: Point, radius: int, start: int, stop: int, pieces: int) -> list[Point]:
    """Points of a circular arc; angles in steps of 1 / TURN turn, clockwise from the right."""
    steps = [start + (stop - start) * i // pieces for i in range(pieces + 1)]
    return [(centre[0] + radius * cosine(s) // ONE, centre[1] + radius * sine(s) // ONE) for s in steps]


def _star() -> list[Point]:
    radii = [UNIT if i % 2 == 0 else UNIT * 2 // 5 for i in range(10)]
    steps = [i * TURN // 10 - TURN // 4 for i in range(10)]
    return [(r * cosine(s) // ONE, r * sine(s) // ONE) for r, s in zip(radii, steps, strict=True)]


def _heart() -> list[Point]:
    """The curve x = 16 sin^3 t = 12 sin t - 4 sin 3t, -y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    steps = range(0, TURN, TURN // 32)
    xs = [12 * sine(t) - 4 * sine(3 * t) for t in steps]
    ys = [5 * cosine(2 * t) + 2 * cosine(3 * t) + cosine(4 * t) - 13 * cosine(t) for t in steps]
    return list(zip(xs, ys, strict=True))


def _leaf() -> list[Point]:
    """The lens between two arcs of 106 degrees, upright."""
    half = TURN * 53 // 360
    right = _arc((-600, 0), 1000, -half, half, 12)
    return right + [(-x, y) for x, y in reversed(right[1:-1])]


_ARM = [(-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1)]
_CROSS = _ARM + [(-x, -y) for x, y in _ARM]
_ARROW = [(0, -8), (8, 0), (3, 0), (3, 8), (-3, 8), (-3, 0), (-8, 0)]
_HOURGLASS = [(-7, -8), (7, -8), (2, 0), (7, 8), (-7, 8), (-2, 0)]

OUTLINES: dict[str, Outline] = {
    "disc": _fitted(_arc((0, 0), UNIT, 0, TURN - TURN // 32, 31), (0, 0)),
    "square": _fitted([(-1, -1), (1, -1), (1, 1), (-1, 1)], (0, 0)),
    "triangle": _fitted([(0, -3), (3, 3), (-3, 3)], (0, 1)),
    "star": _fitted(_star(), (0, 0)),
    "cross": _fitted(_CROSS, (0, 0)),
    "heart": _fitted(_heart(), (0, -2 * ONE)),
    "arrow": _fitted(_ARROW, (0, -2)),
    "hourglass": _fitted(_HOURGLASS, (0, 0)),
    "leaf": _fitted(_leaf(), (0, 0), width=58),
    "dome": _fitted(_arc((0, 0), UNIT, TURN // 2, TURN, 16), (0, -UNIT * 4 // 10), height=74),
}
