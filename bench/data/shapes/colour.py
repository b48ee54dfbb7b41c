"""Colours: integer HSV, and draws that keep their distance from what they must stand out against."""

from collections.abc import Sequence

from bench.data.shapes.rng import Stream

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

_SECTOR = 256
_TRIES = 8


def from_hsv(hue: int, saturation: int, value: int) -> Colour:
    """Colour of a hue 0 to 1535 (256 steps per sixth of the circle), saturation and value 0 to 255."""
    sector, rest = divmod(hue % (6 * _SECTOR), _SECTOR)
    low = value * (255 - saturation) // 255
    falling = value * (255 - saturation * rest // 255) // 255
    rising = value * (255 - saturation * (_SECTOR - rest) // 256) // 255
    return (
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    )[sector]


def difference(a: Colour, b: Colour) -> int:
    """Perceived difference, 0 to about 1000: channels weighted 3, 4, 2, roughly as eyes do."""
    return (3 * abs(a[0] - b[0]) + 4 * abs(a[1] - b[1]) + 2 * abs(a[2] - b[2])) // 2


def midpoint(a: Colour, b: Colour) -> Colour:
    """The colour half-way between two, rounded down."""
    return (a[0] + b[0]) // 2, (a[1] + b[1]) // 2, (a[2] + b[2]) // 2


def draw(stream: Stream, saturation: tuple[int, int], value: tuple[int, int]) -> Colour:
    """Colour of a uniform hue, with saturation and value uniform in their ranges."""
    return from_hsv(stream.between(0, 6 * _SECTOR - 1), stream.between(*saturation), stream.between(*value))


def draw_apart(stream: Stream, others: Sequence[Colour], enough: int) -> Colour:
    """First of a few vivid draws that differs by `enough` from all `others`, or else the best of them."""
    best, most = (0, 0, 0), -1
    for _ in range(_TRIES):
        colour = draw(stream, (90, 255), (50, 255))
        gap = min(difference(colour, other) for other in others)
        if gap > most:
            best, most = colour, gap
        if gap >= enough:
            break
    return best
