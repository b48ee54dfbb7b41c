"""Anchors and points that are made once for each size of the maps: mmdet makes them anew at each step."""

from typing import Any

from mmdet.models.task_modules import prior_generators as mmdet
from torch import Tensor

_SIZES = 8
"""Sizes that are kept: inputs of one job have few."""


class _Kept:
    """Keeps what the generator returns, by the arguments. Nobody may change a tensor of it in place."""

    def grid_priors(self, featmap_sizes: Any, *args: Any, **kwargs: Any) -> list[Tensor]:
        """As mmdet's."""
        return self._once("grid_priors", featmap_sizes, *args, **kwargs)

    def valid_flags(self, featmap_sizes: Any, pad_shape: Any, *args: Any, **kwargs: Any) -> list[Tensor]:
        """As mmdet's."""
        return self._once("valid_flags", featmap_sizes, tuple(pad_shape), *args, **kwargs)

    def _once(self, name: str, featmap_sizes: Any, *args: Any, **kwargs: Any) -> list[Tensor]:
        kept: dict[Any, list[Tensor]] = self.__dict__.setdefault("_kept", {})
        key = (name, tuple(map(tuple, featmap_sizes)), args, tuple(sorted(kwargs.items())))
        if key not in kept:
            if len(kept) >= 2 * _SIZES:
                kept.clear()
            kept[key] = getattr(super(), name)(featmap_sizes, *args, **kwargs)
        return list(kept[key])


class AnchorGenerator(_Kept, mmdet.AnchorGenerator):  # type: ignore[misc]
    """mmdet's, kept."""


class SSDAnchorGenerator(_Kept, mmdet.SSDAnchorGenerator):  # type: ignore[misc]
    """mmdet's, kept."""


class MlvlPointGenerator(_Kept, mmdet.MlvlPointGenerator):  # type: ignore[misc]
    """mmdet's, kept."""
