"""How much a model's forward pass keeps for its backward."""

import torch
from torch import Tensor, nn


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Of the distinct storages that a forward pass keeps for its backward, parameters and buffers left out."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        outputs = model(x, None, mode="tensor")
    assert outputs
    return sum(kept.values())
