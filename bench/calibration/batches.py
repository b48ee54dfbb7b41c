"""Calibration images as a method sees them: batches that can be walked as often as it likes, with their targets."""

from collections.abc import Iterator
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

Mode = Literal["tensor", "loss"]


class Source(Protocol):
    """Where batches come from: a list of them, or a loader that decodes images anew at each walk."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def __len__(self) -> int: ...


class Batch:
    """One batch on the model's device, its images prepared already; calling it runs the model on it."""

    def __init__(self, model: nn.Module, data: dict[str, Any]) -> None:
        self._model = model
        prepared = model.data_preprocessor(data, False)  # type: ignore[operator]
        self.inputs: Tensor = prepared["inputs"]
        """[n, 3, h, w], normalised and padded as the detector wants them."""
        self.samples: list[Any] = prepared["data_samples"]
        """mmdet's, one an image; their `gt_instances` are the targets."""

    def __call__(self, mode: Mode = "tensor") -> Any:
        """A forward pass: the raw outputs, or the dictionary of the detector's training losses."""
        return self._model(self.inputs, self.samples, mode=mode)

    @property
    def image_ids(self) -> list[Any]:
        """Ids of its images in the data set."""
        return [sample.img_id for sample in self.samples]


class Batches:
    """The calibration batches of a model, in a fixed order. Only the one at hand is in memory as floats."""

    def __init__(self, model: nn.Module, batches: Source) -> None:
        self._model, self._batches = model, batches
        self._indices: list[list[int]] = []

    def __iter__(self) -> Iterator[Batch]:
        state = torch.get_rng_state()
        walk = iter(self._batches)
        # A loader draws a number when a walk begins; methods that draw must not depend on how often others walked.
        torch.set_rng_state(state)
        return (Batch(self._model, batch) for batch in walk)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, k: int) -> Batch:
        """One of them, without those before it."""
        return Batch(self._model, self._at(k))

    def _at(self, k: int) -> dict[str, Any]:
        if not isinstance(self._batches, DataLoader):
            return self._batches[k]  # type: ignore[index,no-any-return]
        loader = self._batches
        if not self._indices:
            self._indices = list(loader.batch_sampler or ())
        batch: dict[str, Any] = loader.collate_fn([loader.dataset[index] for index in self._indices[k]])
        return batch
