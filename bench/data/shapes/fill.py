"""The eight fills: which part of an object has its second colour."""

from collections.abc import Callable

import numpy as np

from bench.data.shapes.raster import FULL, GRID, Ints

Pattern = Callable[[Ints, Ints, int, int], Ints]
"""From coordinates (u, v) in the object's upright frame and half extents (hu, hv), in 1/GRID px, to a signed
distance from the second colour's region, in 1/GRID px, positive inside it."""


def _wave(t: Ints, period: int) -> Ints:
    """Signed distance into every other band of `period` / 2; a band is centred on 0."""
    wave: Ints = np.abs((t + period // 2) % period - period // 2) - period // 4
    return wave


def _radius(u: Ints, v: Ints) -> Ints:
    """Octagonal norm: within 8 % of the Euclidean one, and exact in integers."""
    u, v = np.abs(u), np.abs(v)
    radius: Ints = np.maximum(np.maximum(u, v), (u + v) * 181 // 256)
    return radius


def _striped(u: Ints, v: Ints, hu: int, hv: int) -> Ints:
    return _wave(v, hv * 2 // 3)


def _halved(u: Ints, v: Ints, hu: int, hv: int) -> Ints:
    return u


def _checkered(u: Ints, v: Ints, hu: int, hv: int) -> Ints:
    a, b = _wave(u + hu // 4, hu), _wave(v + hv // 4, hv)
    return np.maximum(np.minimum(a, -b), np.minimum(-a, b))


def _dotted(u: Ints, v: Ints, hu: int, hv: int) -> Ints:
    pu, pv = hu * 5 // 8, hv * 5 // 8
    a, b = (u + pu // 2) % pu - pu // 2, (v + pv // 2) % pv - pv // 2
    return min(pu, pv) * 5 // 16 - _radius(a, b)


def _cored(u: Ints, v: Ints, hu: int, hv: int) -> Ints:
    return min(hu, hv) * 3 // 8 - _radius(u, v)


PATTERNS: dict[str, Pattern] = {
    "striped": _striped,
    "halved": _halved,
    "checkered": _checkered,
    "dotted": _dotted,
    "cored": _cored,
}
"""Fills that are a pattern of two colours; `solid` has one, `hollow` and `framed` use an inner outline."""


def soft(distance: Ints) -> Ints:
    """Share 0 to FULL of a pixel on the positive side of an edge at a signed distance in 1/GRID px."""
    return np.minimum(np.maximum(distance + GRID // 2, 0), GRID) * (FULL // GRID)
