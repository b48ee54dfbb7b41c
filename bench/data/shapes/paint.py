"""Paint one outline with one fill on the canvas, within its window only."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.data.shapes.colour import Colour
from bench.data.shapes.fill import PATTERNS, soft
from bench.data.shapes.fixed import ONE, cosine, sine
from bench.data.shapes.layout import Placement
from bench.data.shapes.outline import OUTLINES, UNIT, Outline
from bench.data.shapes.raster import FULL, GRID, Ints, Window, coverage, window_of

_INNER: dict[str, int] = {"hollow": 60, "framed": 62}
"""Size of the inner outline, in percent of the outer one."""

Mask = npt.NDArray[np.bool_]


class Painted(NamedTuple):
    """What one outline touched: its window and, each [rows, columns], silhouette and painted pixels."""

    window: Window
    silhouette: Mask
    opaque: Mask


def corners(outline: Outline, place: Placement, percent: int = 100) -> list[tuple[int, int]]:
    """Points of a placed outline in 1/GRID px, shrunk to `percent` towards its core."""
    c, s = cosine(place.turn), sine(place.turn)
    points = []
    for px, py in outline.points:
        u = (outline.core[0] * (100 - percent) + px * percent) * place.hx // (100 * UNIT)
        v = (outline.core[1] * (100 - percent) + py * percent) * place.hy // (100 * UNIT)
        points.append((place.x + (u * c - v * s) // ONE, place.y + (u * s + v * c) // ONE))
    return points


def upright(window: Window, outline: Outline, place: Placement) -> tuple[Ints, Ints]:
    """Coordinates (u, v) of pixel centres in the outline's own frame, origin in its core, 1/GRID px."""
    c, s = cosine(place.turn), sine(place.turn)
    dx = np.arange(window.x0, window.x1, dtype=np.int64) * GRID + GRID // 2 - place.x
    dy = (np.arange(window.y0, window.y1, dtype=np.int64) * GRID + GRID // 2 - place.y)[:, None]
    u = (dx * c + dy * s) // ONE - outline.core[0] * place.hx // UNIT
    v = (dy * c - dx * s) // ONE - outline.core[1] * place.hy // UNIT
    return u, v


def paint(canvas: Ints, part: tuple[str, str], place: Placement, colours: tuple[Colour, Colour]) -> Painted:
    """Blend one object of (outline, fill) `part` into `canvas` [side, side, 3]; the window is never empty."""
    outline, fill = OUTLINES[part[0]], part[1]
    points = corners(outline, place)
    window = window_of(points, canvas.shape[0])
    cover = coverage(points, window)
    second: Ints = np.zeros_like(cover)
    alpha = cover
    if fill in _INNER:
        inner = coverage(corners(outline, place, _INNER[fill]), window)
        if fill == "hollow":
            alpha = np.maximum(cover - inner, 0)
        else:
            second = FULL - inner
    elif fill in PATTERNS:
        u, v = upright(window, outline, place)
        second = soft(PATTERNS[fill](u, v, place.hx, place.hy))
    a, b = (np.array(c, dtype=np.int64) for c in colours)
    colour = a + ((b - a) * second[:, :, None] >> 8)
    target = canvas[window.slices]
    target += (colour - target) * alpha[:, :, None] >> 8
    return Painted(window, cover >= FULL // 4, alpha >= FULL // 4)
