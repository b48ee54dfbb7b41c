"""A detector as a tier scales it: mmdet's own configuration with a few declared changes.

A field that is None keeps mmdet's value and is left out of the protocol, so that a new field changes no identity.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Fraction, Index, Positive, Spec
from bench.schema.forms import DECODING, SHA256


class Input(Spec):
    """Size of the network's input, px."""

    size: tuple[Count, Count]
    """Width and height that the image is resized to fit into, px."""
    keep_ratio: bool = True
    """Whether resizing keeps the image's proportions."""
    pad_divisor: Count = 32
    """Images of a batch are padded at the right and bottom to a multiple of this, px. YOLOX is padded to `size`, ONNX
    detectors always are."""
    sampling: Literal["exact", "corner"] | None = None
    """How resizing interpolates between pixels; by default as mmdet does. `exact`: OpenCV's bit-exact bilinear one, the
    sides rounded down (YOLOX). `corner`: bilinear, the centre of the first pixel staying in place (NanoDet)."""


class Test(Spec):
    """Batch and post-processing of the evaluation."""

    batch: Count
    """Images of a batch. It can move mAP, since the images of a batch are padded to one size."""
    score_threshold: Fraction
    """Detections with a lower score are dropped; 0 for the DETRs."""
    nms_iou: Fraction | None = None
    """IoU above which NMS drops the lower of two detections. All detectors but the DETRs need it; those have no NMS."""
    pre_nms: Count = 1000
    """Candidates of one pyramid level before NMS, of an image for ONNX detectors; YOLOX and the DETRs have no such
    limit."""
    max_per_image: Count = 100
    """Detections that are kept of an image."""


class Init(Spec):
    """The weights that a detector starts with."""

    kind: Literal["scratch", "backbone", "checkpoint", "onnx"]
    """`scratch`: none; `backbone`, `checkpoint`: a file of a backbone or a whole detector; `onnx`: an exported detector
    with its BatchNorm folded into the convolutions, which cannot be trained."""
    file: str | None = None
    """Name in the checkpoint folder; ends in `-<first 8 hex digits of its sha256>.pth`, or in `.onnx`."""
    path: str | None = None
    """An ONNX file anywhere, in place of `file`. It may contain `${NAME}` or `${NAME:-default}`; a relative one starts
    at the root. Where it lies is no part of a job's identity, its `sha256` is."""
    sha256: Annotated[str, Field(pattern=SHA256)] | None = None
    """Hash of an ONNX file; other files have it in their name."""

    @property
    def folded(self) -> bool:
        """Whether the detector has no BatchNorm of its own, which QAT would need."""
        return self.kind == "onnx"


ONNX_DECODINGS = ("yolox", "gfl")
Rgb = tuple[float, float, float]
PositiveRgb = tuple[Positive, Positive, Positive]


class OnnxScale(Spec):
    """How an ONNX detector's input is made, and what its outputs mean."""

    decoding: Annotated[str, Field(pattern=DECODING)]
    """`yolox`: rows of centre and size in units of the grid, objectness, class scores. `gfl`: rows of class scores and
    the logits of four binned distances (GFL, NanoDet). Or `package.module:function` of your own, which is given the
    outputs and the input's (width, height), px, and returns scores [n, places, classes] and boxes [n, places, 4] (x1,
    y1, x2, y2), px of the input."""
    version: Count | None = None
    """Part of the identity: raise it when your own function computes something else."""
    strides: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    """Strides of the levels, px, in the order of the rows; `yolox` and `gfl` only."""
    bins: Annotated[int, Field(ge=2)] | None = None
    """Bins of a distance; `gfl` only."""
    channels: Literal["bgr", "rgb"]
    """Order of the input's channels."""
    mean: Rgb
    """Subtracted from pixels of 0 to 255, by channel in that order."""
    std: PositiveRgb
    """What the rest is divided by."""
    pad_value: Annotated[float, Field(ge=0, le=255)] | None = None
    """Pixel value to the right of an image and below it, where `keep_ratio` leaves room; needed there alone."""

    @model_validator(mode="after")
    def _fits_decoding(self) -> "OnnxScale":
        own = self.decoding not in ONNX_DECODINGS
        for name, wanted in (("strides", not own), ("bins", self.decoding == "gfl")):
            if (getattr(self, name) is not None) != wanted:
                raise ValueError(f"decoding {self.decoding} {'needs' if wanted else 'has no'} `{name}`")
        if self.version is not None and not own:
            raise ValueError(f"decoding {self.decoding} has no `version` of yours")
        return self


class SsdScale(Spec):
    """SSDLite's pyramid: its levels beyond the backbone's, and the anchors of all levels."""

    extra_widths: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Channels of the extra levels, each at half the resolution of the one before (512, 256, 256, 128)."""
    anchor_sizes: Annotated[tuple[Positive, ...], Field(min_length=2)]
    """Side of the smallest anchor of each level, px, and one more size, the largest of the last level
    (48, 100, 150, 202, 253, 304, 320)."""


class RcnnScale(Spec):
    """The second stage of Faster R-CNN."""

    fc_width: Count | None = None
    """Width of the two fully connected layers that read a region (1024)."""
    proposals: Count | None = None
    """Regions of one image that the first stage passes to the second (1000)."""
    sampled: Count | None = None
    """Regions of one image that the second stage trains on (512)."""


class TransformerScale(Spec):
    """The transformer of a DETR."""

    width: Count | None = None
    """Embedding dimensions (256)."""
    heads: Count | None = None
    """Attention heads (8)."""
    encoder_layers: Count | None = None
    """(6)"""
    decoder_layers: Count | None = None
    """(6)"""
    feedforward: Count | None = None
    """Width of the layers between attentions (2048; Deformable DETR 1024)."""
    queries: Count | None = None
    """Largest number of objects in an image (100; Deformable and DAB-DETR 300)."""
    dropout: Fraction | None = None
    """Probability of dropout (0.1; DAB-DETR 0)."""
    temperature: Positive | None = None
    """Temperature of the sine encoding of positions (10000; DAB-DETR 20). With a lower one more entries of the encoding
    tell near places apart."""
    levels: Count | None = None
    """Deformable DETR only: feature levels (4). Each level beyond the backbone's stages has half the resolution of the
    last."""


class DetectorScale(Spec):
    """What a tier changes in mmdet's configuration of a detector. Numbers in parentheses are mmdet's own.

    Not every detector has every field; an error says which it has.
    """

    input: Input
    test: Test
    init: Init
    depth: Literal[18, 34, 50, 101] | None = None
    """Layers of the ResNet."""
    width: Count | None = None
    """Channels of the first stage of the ResNet (64); each later stage has twice those of the one before."""
    stages: Annotated[tuple[Index, ...], Field(min_length=1)] | None = None
    """Which stages of the backbone feed the neck, counted from 0. Strides of a ResNet's: 4, 8, 16, 32 (DETR: 3;
    Deformable DETR: 1, 2, 3); of MobileNetV2's: 2, 4, 8, 16, 16, 32, 32, 32 (4, 7)."""
    widen: Positive | None = None
    """Factor on all widths of YOLOX (tiny 0.375, nano 0.25), or on those of SSDLite's backbone (1)."""
    deepen: Positive | None = None
    """Factor on the numbers of blocks of YOLOX (0.33)."""
    neck_width: Count | None = None
    """Channels of the neck's outputs and of the head (FPN: 256)."""
    head_convs: Count | None = None
    """Convolutions of each head branch before the predictors (RetinaNet, ATSS: 4; YOLOX: 2)."""
    anchor_scale: Positive | None = None
    """Side of the smallest anchor divided by the stride of its level (RetinaNet: 4; ATSS, Faster R-CNN: 8)."""
    head_init_std: Positive | None = None
    """Standard deviation of the initial weights of the head's convolutions before its predictors (0.01, which suits 256
    channels; with 32 channels the signal nearly vanishes after four such layers)."""
    ssd: SsdScale | None = None
    """SSDLite only."""
    rcnn: RcnnScale | None = None
    """Faster R-CNN only."""
    transformer: TransformerScale | None = None
    """DETRs only."""
    onnx: OnnxScale | None = None
    """Detectors `onnx/NAME` only."""
