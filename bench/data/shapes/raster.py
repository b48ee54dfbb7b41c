"""Anti-aliased polygon fill in integers: four sample lines per pixel row, exact to 1/64 px along each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GRID = 64
"""Units of a coordinate per pixel."""
FULL = 256
"""Coverage of a pixel that lies inside entirely."""
_LINES = 4

Ints = npt.NDArray[np.int64]


class Window(NamedTuple):
    """Rectangle of whole pixels, exclusive at the right and at the bottom."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices of an image."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def empty(self) -> bool:
        """No pixel in it."""
        return self.x0 >= self.x1 or self.y0 >= self.y1


def window_of(points: Sequence[tuple[int, int]], side: int) -> Window:
    """Pixels of a `side` x `side` image that a polygon, in 1/GRID px, can touch."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low = (max(min(xs) // GRID, 0), max(min(ys) // GRID, 0))
    return Window(*low, min(max(xs) // GRID + 1, side), min(max(ys) // GRID + 1, side))


def coverage(points: Sequence[tuple[int, int]], window: Window) -> Ints:
    """Coverage 0 to FULL of each pixel of a window that has some, [rows, columns], by a polygon in 1/GRID px.

    The polygon must not cross itself. Where an edge crosses a sample line, all to its right changes side: a
    step, shared between two pixels. Edges count + downwards and - upwards: the running sum is the coverage.
    """
    columns, rows = window.x1 - window.x0, window.y1 - window.y0
    origin = np.array([window.x0, window.y0], dtype=np.int64) * GRID
    x0, y0 = (np.array(points, dtype=np.int64) - origin).T[:, :, None]
    x1, y1 = np.roll(x0, -1, axis=0), np.roll(y0, -1, axis=0)
    spacing = GRID // _LINES
    y = np.arange(rows * _LINES, dtype=np.int64) * spacing + spacing // 2
    up, down = (y0 <= y) & (y < y1), (y1 <= y) & (y < y0)
    edge, line = np.nonzero(up | down)
    dx, dy = (x1 - x0)[edge, 0], (y1 - y0)[edge, 0]
    x = x0[edge, 0] + (y[line] - y0[edge, 0]) * dx // dy
    x = np.minimum(np.maximum(x, 0), columns * GRID)
    sign = np.where(dy > 0, 1, -1)
    steps = np.zeros(rows * (columns + 2), dtype=np.int64)
    at = (line // _LINES) * (columns + 2) + x // GRID
    np.add.at(steps, at, sign * (GRID - x % GRID))
    np.add.at(steps, at + 1, sign * (x % GRID))
    full: Ints = np.abs(np.cumsum(steps.reshape(rows, columns + 2), axis=1))[:, :columns]
    return full
