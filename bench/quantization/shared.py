"""A tensor that several convolutions read through one quantizer: made once in a pass, and once in its backward."""

import weakref
from collections.abc import Callable

from torch import Tensor

Versions = tuple[int, ...]


class Shared:
    """The quantized value of one tensor. Nothing is held between the passes, nor after the last reader."""

    def __init__(self, x: Tensor, versions: Versions, readers: int) -> None:
        self.x, self.versions = weakref.ref(x), versions
        self.to_come, self.to_return = readers, 0
        self.value: Tensor | None = None

    def forward(self, make: Callable[[], Tensor]) -> Tensor:
        """For one more reader."""
        self.to_come, self.to_return = self.to_come - 1, self.to_return + 1
        value = make() if self.value is None else self.value
        self.value = value if self.to_come else None
        return value

    def backward(self, make: Callable[[], Tensor]) -> Tensor:
        """For the backward of one reader; a second one of the same graph makes its own."""
        value = make() if self.value is None else self.value
        self.to_return -= 1
        self.value = value if self.to_return > 0 else None
        return value


def versions(*tensors: Tensor) -> Versions:
    """Other numbers after each change in place; what was made in inference mode has none, and is not trained."""
    return tuple([0 if x.is_inference() else x._version for x in tensors])
