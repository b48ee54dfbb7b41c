"""What a detector of dense predictions says of every location, before NMS: what losses of outputs compare."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Locations(NamedTuple):
    """The predictions of n images at L locations, over all levels."""

    scores: Tensor
    """[n, L, classes], 0 to 1."""
    boxes: Tensor
    """[n, L, 4] (x1, y1, x2, y2), px of the network's input."""


class Dense(Protocol):
    """A model that can tell them."""

    def locate(self, outputs: Any) -> Locations:
        """From its raw outputs (mode `tensor`), without thresholds or NMS; gradients pass."""
