"""Calibration images as a method sees them: batches that can be walked as often as it likes, with their targets."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from torch import Tensor, nn

Mode = Literal["tensor", "loss"]


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
    """The calibration batches of a model, in a fixed order."""

    def __init__(self, model: nn.Module, batches: Sequence[dict[str, Any]]) -> None:
        self._model, self._batches = model, batches

    def __iter__(self) -> Iterator[Batch]:
        return (Batch(self._model, batch) for batch in self._batches)

    def __len__(self) -> int:
        return len(self._batches)
