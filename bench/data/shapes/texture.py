"""Backgrounds: two related tones mixed by value noise of two scales, and a few faint blobs."""

from typing import NamedTuple

import numpy as np

from bench.data.shapes.colour import Colour, draw, midpoint
from bench.data.shapes.fixed import ONE, TURN, cosine, sine
from bench.data.shapes.raster import FULL, GRID, Ints, coverage, window_of
from bench.data.shapes.rng import Stream


class Background(NamedTuple):
    """A canvas, [side, side, 3], values 0 to 255, and the mean of its two tones."""

    canvas: Ints
    tone: Colour


def value_noise(stream: Stream, side: int, across: int, down: int) -> Ints:
    """Smooth noise 0 to 255, [side, side]: random values on a lattice of across x down cells."""
    lattice = stream.octets((down + 1) * (across + 1)).astype(np.int64).reshape(down + 1, across + 1)
    row, row_share = _cells(side, down)
    column, column_share = _cells(side, across)
    lines: Ints = lattice[row] * (256 - row_share[:, None]) + lattice[row + 1] * row_share[:, None]
    noise: Ints = (lines[:, column] * (256 - column_share) + lines[:, column + 1] * column_share) >> 16
    return noise


def _cells(side: int, cells: int) -> tuple[Ints, Ints]:
    """Cell index of each pixel, and its smoothed place 0 to 256 within the cell."""
    at = np.arange(side, dtype=np.int64) * cells * 256 // side
    place = at % 256
    return at // 256, place * place * (768 - 2 * place) >> 16


def background(stream: Stream, side: int) -> Background:
    """Draw the background of one image."""
    low, high = (60, 255) if stream.chance(2, 3) else (20, 140)
    first = draw(stream, (10, 130), (low, high))
    second = midpoint(first, draw(stream, (10, 130), (low, high)))
    coarse = value_noise(stream, side, stream.between(2, 7), stream.between(2, 7))
    fine = value_noise(stream, side, stream.between(8, 32), stream.between(8, 32))
    mix = ((5 * coarse + 3 * fine) >> 3)[:, :, None]
    a, b = np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
    canvas = a + ((b - a) * mix >> 8) + ((mix - 128) >> 3)
    for _ in range(stream.between(0, 3)):
        _blob(stream, canvas)
    return Background(canvas, midpoint(first, second))


def _blob(stream: Stream, canvas: Ints) -> None:
    """Lighten or darken an irregular patch: clutter with edges, fainter than any object."""
    side = canvas.shape[0]
    centre = stream.between(0, side * GRID), stream.between(0, side * GRID)
    corners, start = stream.between(5, 9), stream.between(0, TURN - 1)
    points = []
    for i in range(corners):
        radius, step = stream.between(side * GRID // 10, side * GRID * 2 // 5), start + i * TURN // corners
        points.append((centre[0] + radius * cosine(step) // ONE, centre[1] + radius * sine(step) // ONE))
    change = stream.between(8, 26) * (1 if stream.chance(1, 2) else -1)
    window = window_of(points, side)
    canvas[window.slices] += (coverage(points, window) * change // FULL)[:, :, None]
