"""A detector as a tier scales it: mmdet's own configuration with a few declared changes.

None keeps mmdet's value everywhere, and what is None stands in no protocol: a new field changes no identity.
"""

from typing import Annotated, Literal

from pydantic import Field

from bench.schema.base import Count, Fraction, Index, Positive, Spec


class Input(Spec):
    """Size of the network's input, px."""

    size: tuple[Count, Count]
    """Width and height that the image is resized into."""
    keep_ratio: bool = True
    pad_divisor: Count = 32
    """A batch is padded at the right and below to a multiple of this; YOLOX's letterbox is the size itself."""


class Test(Spec):
    """Post-processing and batch of the evaluation: part of the protocol, since padding moves mAP."""

    batch: Count
    score_threshold: Fraction
    nms_iou: Fraction | None = None
    """Every detector but the DETRs needs it; they have no NMS."""
    pre_nms: Count = 1000
    """Candidates of one pyramid level before NMS; YOLOX and the DETRs have no such limit."""
    max_per_image: Count = 100


class Init(Spec):
    """Where FP training starts: nothing, a backbone's or a whole detector's checkpoint, by file name."""

    kind: Literal["scratch", "backbone", "checkpoint", "onnx"]
    """`onnx`: a whole detector exported with its BatchNorm folded into the convolutions; it is not trained."""
    file: str | None = None
    """Found in the checkpoint folder; ends in `-<first 8 hex digits of its sha256>.pth`, or in `.onnx`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of an ONNX file, whose name carries no hash."""

    @property
    def folded(self) -> bool:
        """Whether the detector has no BatchNorm of its own, which QAT would need."""
        return self.kind == "onnx"


class SsdScale(Spec):
    """SSDLite's pyramid: the levels beyond the backbone's, and the anchors of all."""

    extra_widths: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Channels of the extra levels, each at half the resolution of the one before (512, 256, 256, 128)."""
    anchor_sizes: Annotated[tuple[Positive, ...], Field(min_length=2)]
    """Side of each level's smallest anchor, px, and one more that ends the last level
    (48, 100, 150, 202, 253, 304, 320)."""


class RcnnScale(Spec):
    """The second stage of Faster R-CNN."""

    fc_width: Count | None = None
    """Width of the two layers that read a region (1024)."""
    proposals: Count | None = None
    """Regions of one image that the first stage hands on (1000)."""
    sampled: Count | None = None
    """Regions of one image that the second stage trains on (512)."""


class TransformerScale(Spec):
    """The transformer of a DETR."""

    width: Count | None = None
    """Embedding dimensions (256)."""
    heads: Count | None = None
    """Attention heads (8)."""
    encoder_layers: Count | None = None
    decoder_layers: Count | None = None
    feedforward: Count | None = None
    """Width of the layers between attentions (2048; Deformable DETR 1024)."""
    queries: Count | None = None
    """Objects that an image can have (100; Deformable and DAB-DETR 300)."""
    dropout: Fraction | None = None
    """(0.1; DAB-DETR 0)"""
    temperature: Positive | None = None
    """Of the sine encoding of positions (10000; DAB-DETR 20): the lower, the more of its entries tell near places
    apart."""
    levels: Count | None = None
    """Deformable DETR only: feature levels, those beyond the backbone's stages at half the resolution each (4)."""


class DetectorScale(Spec):
    """What a tier changes of mmdet's configuration; `bench.schema.catalog.SCALABLE` says which fields a family has."""

    input: Input
    test: Test
    init: Init
    depth: Literal[18, 34, 50, 101] | None = None
    """Layers of the ResNet."""
    width: Count | None = None
    """Channels of the ResNet's first stage (64)."""
    stages: Annotated[tuple[Index, ...], Field(min_length=1)] | None = None
    """The backbone's stages that feed the neck, from 0. ResNet: strides 4, 8, 16, 32 (DETR: 3; Deformable: 1, 2, 3);
    MobileNetV2: 2, 4, 8, 16, 16, 32, 32, 32 (4, 7)."""
    widen: Positive | None = None
    """Factor on all widths of YOLOX (tiny 0.375, nano 0.25) or of SSDLite's backbone (1)."""
    deepen: Positive | None = None
    """Factor on YOLOX's numbers of blocks (0.33)."""
    neck_width: Count | None = None
    """Channels of the neck's outputs and the head (FPN: 256)."""
    head_convs: Count | None = None
    """Convolutions of each head branch before the predictors (RetinaNet, ATSS: 4; YOLOX: 2)."""
    anchor_scale: Positive | None = None
    """Side of the smallest anchor over the stride of its level (RetinaNet: 4; ATSS, Faster R-CNN: 8)."""
    head_init_std: Positive | None = None
    """Standard deviation of the head's initial weights before its predictors. RetinaNet's 0.01 suits 256 channels;
    with 32 the signal of four such layers all but vanishes."""
    ssd: SsdScale | None = None
    rcnn: RcnnScale | None = None
    transformer: TransformerScale | None = None
