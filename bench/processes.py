"""The cores of this process, and its place among those that torchrun started together. Imports no torch."""

import os
from typing import NamedTuple


class World(NamedTuple):
    """The place of this process."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this process writes the results and speaks for all."""
        return self.rank == 0


def world() -> World:
    """As torchrun's environment variables say."""
    return World(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
