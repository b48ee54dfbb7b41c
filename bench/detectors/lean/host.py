"""What is known without a GPU stays on the host, and is sent to the GPU in an order that nobody waits for."""

from typing import Any

import torch
from torch import Tensor


def send(x: Tensor, device: torch.device) -> Tensor:
    """`x` on `device`; a copy from the host to a GPU is queued behind the work that the GPU has."""
    if not x.is_cpu or device.type != "cuda":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def send_levels(levels: list[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors [images, anchors of the level, ...], sent in one copy; each remembers what it is on the host."""
    sent = list(torch.split(send(torch.cat(levels, dim=1), device), [level.shape[1] for level in levels], dim=1))
    for there, here in zip(sent, levels, strict=True):
        there.on_host = here  # type: ignore[attr-defined]
    return sent


def on_host(x: Tensor) -> Tensor:
    """The host's copy of a tensor that came from `send_levels`; another tensor is returned as it is."""
    known: Any = getattr(x, "on_host", x)
    return known  # type: ignore[no-any-return]
