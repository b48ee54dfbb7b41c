"""Fixed-point sine, cosine and powers of two, from integer square roots alone: no library's rounding."""

from math import isqrt

TURN = 1024
"""Steps of a full turn."""
ONE = 1 << 14
"""The number 1 of `sine`, `cosine` and `power`."""
_FINE = 1 << 60


def _eighth_turn() -> list[tuple[int, int]]:
    """(cos, sin) of steps 0 to TURN / 8 in units of 1 / _FINE, by halving 90 degrees, then rotating."""
    cos, steps = 0, TURN // 4
    while steps > 1:
        cos, steps = isqrt((_FINE + cos) * _FINE // 2), steps // 2
    sin = isqrt(_FINE * _FINE - cos * cos)
    points = [(_FINE, 0)]
    for _ in range(TURN // 8):
        c, s = points[-1]
        points.append(((c * cos - s * sin) // _FINE, (s * cos + c * sin) // _FINE))
    return points


def _sine_table() -> tuple[int, ...]:
    """Sine of every step of the turn, in units of 1 / ONE, rounded to nearest; exact in its symmetries."""
    scale = _FINE // ONE
    eighth = [((c + scale // 2) // scale, (s + scale // 2) // scale) for c, s in _eighth_turn()]
    quarter = [s for _, s in eighth] + [c for c, _ in reversed(eighth[:-1])]
    half = quarter + quarter[-2:0:-1]
    return tuple(half + [-s for s in half])


def _power_table() -> tuple[int, ...]:
    """2^(k / 16) for k = 0 to 15, in units of 1 / ONE, rounded down."""
    root = 2 * _FINE
    for _ in range(4):
        root = isqrt(root * _FINE)
    powers = [_FINE]
    for _ in range(15):
        powers.append(powers[-1] * root // _FINE)
    return tuple(p * ONE // _FINE for p in powers)


_SINE = _sine_table()
_POWER = _power_table()


def sine(step: int) -> int:
    """Sine of `step` / TURN of a turn, in units of 1 / ONE."""
    return _SINE[step % TURN]


def cosine(step: int) -> int:
    """Cosine of `step` / TURN of a turn, in units of 1 / ONE."""
    return _SINE[(step + TURN // 4) % TURN]


def power(sixteenths: int) -> int:
    """2^(sixteenths / 16) in units of 1 / ONE; negative exponents too."""
    octave, rest = divmod(sixteenths, 16)
    return _POWER[rest] << octave if octave >= 0 else _POWER[rest] >> -octave
