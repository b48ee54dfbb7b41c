"""Small DETRs in float64 and images with targets, for tests of the critical objective and of Fisher information."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from detector_scales import small_scale
from torch import Tensor, nn

from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply, quantized_layers
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.placement import Policy

CLASSES = ("a", "b", "c", "d", "e", "f")
POLICY = Policy(
    layers=("linear", "attention"), first=("bbox_head.*",), last=("bbox_head.*",), keep=("bbox_head.*",),
    parts=("encoder", "decoder"),
)  # fmt: skip
SIDE = 64


def small_detr(name: str, quantized: bool = False) -> nn.Module:
    """A detector in float64, no weight at a kink: mmdet starts some layers at 0, where a ReLU has no derivative.

    Its transformer's layers are quantized, with the quantizers off unless `quantized`.
    """
    model = build_detector(name, small_scale(name, SIDE), CLASSES, 0).double()
    model.positional_encoding.register_forward_hook(lambda _, __, output: output.double())
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    placement = trace_placement(model, empty_batch(SIDE, SIDE), POLICY, Bits.parse("4/32"))
    observer = {"kind": "minmax"}
    method = Uniform({"weights": observer, "activations": observer})
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, [])  # type: ignore[arg-type]
    model.double()
    for layer in quantized_layers(model).values():
        layer.held.weight.mode = "quantize" if quantized else "off"
    return model


def scene() -> dict[str, Any]:
    """Two images [2, 3, SIDE, SIDE] with three objects and two."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return {"inputs": images, "data_samples": [_sample([0, 2, 5], generator), _sample([1, 2], generator)]}


def _sample(labels: list[int], generator: torch.Generator) -> Any:
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    corners = 30 * torch.rand(len(labels), 2, generator=generator, dtype=torch.float64)
    sides = 5 + 25 * torch.rand(len(labels), 2, generator=generator, dtype=torch.float64)
    shape = (SIDE, SIDE)
    sample = DetDataSample(metainfo={"img_shape": shape, "batch_input_shape": shape, "img_id": 0})
    sample.gt_instances = InstanceData(bboxes=torch.cat([corners, corners + sides], 1), labels=torch.tensor(labels))
    return sample


class Frozen:
    """Keeps what a computation detaches, and gives it again when it is repeated: the costs of the matching, the
    reference points of later decoder layers, the places on a map. So a finite difference sees the derivative's path."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.recorded = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The first time values are kept, later they are those of the first time."""
        plain, values = Tensor.detach, iter(self.values)

        def detach(tensor: Tensor) -> Tensor:
            if not self.recorded:
                self.values.append(plain(tensor).clone())
                return plain(tensor)
            return next(values).clone()

        Tensor.detach = detach  # type: ignore[method-assign]
        try:
            yield
        finally:
            Tensor.detach = plain  # type: ignore[method-assign]
            self.recorded = True
