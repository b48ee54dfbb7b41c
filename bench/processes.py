"""This process among those that torchrun started together; alone without torchrun. Imports no torch."""

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
