"""Replace modules wherever they stand: a head that is shared between layers hangs on the tree several times."""

from collections.abc import Mapping

from torch import nn


def replace(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> None:
    """Put each replacement at every place of `model` where the module that it replaces stands."""
    for parent in list(model.modules()):
        # `named_children` would name a shared child once.
        for name, child in list(parent._modules.items()):
            if child is not None and child in replacements:
                parent._modules[name] = replacements[child]
