"""Counter-based random numbers: splitmix64 over 64-bit words, the same everywhere."""

import hashlib
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB


class Stream:
    """Word number i is a function of (name, i) alone, so streams never influence each other."""

    def __init__(self, name: str) -> None:
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        self._count = 0

    def word(self) -> int:
        """Next word, 0 to 2^64 - 1."""
        self._count += 1
        z = (self._key + self._count * _STEP) & _MASK
        z = ((z ^ (z >> 30)) * _MIX1) & _MASK
        z = ((z ^ (z >> 27)) * _MIX2) & _MASK
        return z ^ (z >> 31)

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """The next `count` words: what as many calls of `word` would give, shape [count]."""
        z = np.arange(self._count + 1, self._count + 1 + count, dtype=np.uint64)
        self._count += count
        z = z * np.uint64(_STEP) + np.uint64(self._key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX2)
        return z ^ (z >> np.uint64(31))

    def octets(self, count: int) -> npt.NDArray[np.uint8]:
        """Random bytes, shape [count]; the lowest byte of each word comes first on any machine."""
        return self.words(-(-count // 8)).astype("<u8").view(np.uint8)[:count]

    def between(self, low: int, high: int) -> int:
        """Uniform integer from `low` to `high`, both included."""
        return low + (self.word() * (high - low + 1) >> 64)

    def chance(self, numerator: int, denominator: int) -> bool:
        """True with probability numerator / denominator."""
        return self.between(1, denominator) <= numerator

    def weighted(self, weights: Sequence[int]) -> int:
        """Index drawn with probability proportional to its integer weight."""
        sums = list(accumulate(weights))
        pick = self.between(0, sums[-1] - 1)
        return next(i for i, total in enumerate(sums) if pick < total)
