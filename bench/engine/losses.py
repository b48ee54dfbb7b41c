"""The losses of a training, one a step."""

import math

import torch
from torch import Tensor

from bench.engine.world import mean
from bench.errors import BenchError
from bench.processes import world

KEPT = 20
"""Losses that may wait on a GPU: a step must not wait for the one before it."""


class Losses:
    """The loss of each step so far, which on a GPU stays there until somebody reads it."""

    def __init__(self) -> None:
        self.known: list[float] = []
        self._waiting: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.known) + len(self._waiting)

    def add(self, loss: Tensor) -> bool:
        """Take the loss of one more step; whether it is time to read."""
        self._waiting.append(loss.detach())
        return loss.is_cpu or world().size > 1 or len(self._waiting) >= KEPT

    def read(self) -> list[float]:
        """All of them, means over the processes. Raises BenchError at the first that is not finite."""
        waiting, self._waiting = self._waiting, []
        for loss in torch.stack(waiting).tolist() if waiting else []:
            self.known.append(mean(loss))
            if not math.isfinite(self.known[-1]):
                raise BenchError(f"the loss became {self.known[-1]} at step {len(self.known)}")
        return self.known
