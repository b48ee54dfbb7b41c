"""A detector that is an ONNX file: its graph, the preparation of its input, its decoding, and NMS."""

from pathlib import Path
from typing import Any, NoReturn

import torch
import torchvision.ops
from mmdet.models.detectors.base import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import InstanceData
from torch import Tensor

from bench.detectors.decoding import make_decoding
from bench.detectors.locations import Locations
from bench.detectors.onnx_graph import outputs_of, read_graph, takes_batches
from bench.errors import BenchError
from bench.schema.detector import DetectorScale, OnnxScale


class OnnxDetector(BaseDetector):  # type: ignore[misc]
    """Answers as mmdet's detectors do, but has no losses. The graph is its child `graph`."""

    def __init__(self, path: Path, scale: DetectorScale, onnx: OnnxScale, classes: int) -> None:
        """Raises BenchError where the file is no graph of such a detector."""
        super().__init__()
        self.size, self.test, self.file = scale.input.size, scale.test, path
        self.data_preprocessor = Preparation(self.size, onnx)
        self.graph = read_graph(path).eval()
        self.decode = make_decoding(onnx, self.size, classes)
        self._try(classes)
        self.takes_batches = takes_batches(self.graph, self.size)

    @torch.no_grad()
    def _try(self, classes: int) -> None:
        width, height = self.size
        try:
            self.locations(outputs_of(self.graph, torch.zeros(1, 3, height, width)))
        except BenchError as error:
            raise BenchError(f"{self.file}: {error}") from None
        except Exception as error:  # of the graph's operations, or of a decoding of the user's
            text = str(error).strip().splitlines() or [type(error).__name__]
            raise BenchError(f"{self.file}: fails on an image of {width}x{height} px: {text[0]}") from None

    def locations(self, outputs: Any) -> Locations:
        """As `bench.detectors.locations.Decoding`."""
        return self.decode(outputs)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """The raw outputs; BenchError for a batch, where the graph has no room for one."""
        if len(batch_inputs) > 1 and not self.takes_batches:
            raise BenchError(
                f"{self.file}: two images in one batch do not give what each gives alone; set `batch: 1` in `test` "
                "and `calibration`"
            )
        return outputs_of(self.graph, batch_inputs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> tuple[Tensor, ...]:
        return self.extract_feat(batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: Any) -> NoReturn:
        """Always BenchError: an ONNX file does not say how its model was trained."""
        raise BenchError(f"{self.file}: a graph from an ONNX file has no training losses")

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> list[DetDataSample]:
        """The samples with `pred_instances`, in px of their original images."""
        found = self.locations(self.extract_feat(batch_inputs))
        for sample, scores, boxes in zip(batch_data_samples, *found, strict=True):
            sample.pred_instances = self._suppressed(scores, boxes, sample)
        return batch_data_samples

    def _suppressed(self, scores: Tensor, boxes: Tensor, sample: DetDataSample) -> InstanceData:
        """NMS within each class; a location may be of several."""
        places, labels = (scores > self.test.score_threshold).nonzero(as_tuple=True)
        values, order = scores[places, labels].topk(min(self.test.pre_nms, len(places)))
        boxes, labels = boxes[places[order]], labels[order]
        kept = torchvision.ops.batched_nms(boxes, values, labels, self.test.nms_iou)[: self.test.max_per_image]
        factor = boxes.new_tensor(sample.scale_factor).repeat(2)
        return InstanceData(bboxes=boxes[kept] / factor, scores=values[kept], labels=labels[kept])


class Preparation(BaseDataPreprocessor):  # type: ignore[misc]
    """Images at the left top of the input's size, in the declared order of channels, normalised."""

    def __init__(self, size: tuple[int, int], onnx: OnnxScale) -> None:
        super().__init__()
        self.size, self.onnx = size, onnx

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """`inputs` of BGR images [3, h, w] -> [n, 3, height, width]; `data_samples` as they are."""
        data = self.cast_data(data)
        width, height = self.size
        images: list[Tensor] = data["inputs"]
        canvas = torch.full((len(images), 3, height, width), self.onnx.pad_value or 0.0, device=self.device)
        for place, image in zip(canvas, images, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        if self.onnx.channels == "rgb":
            canvas = canvas.flip(1)
        mean, std = (canvas.new_tensor(values)[:, None, None] for values in (self.onnx.mean, self.onnx.std))
        return {**data, "inputs": (canvas - mean) / std}
