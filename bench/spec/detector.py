"""A detector as a tier scales it: mmdet's own configuration with a few declared changes."""

from typing import Annotated, Literal

from pydantic import Field

from bench.spec.base import Spec

Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Input(Spec):
    """Size of the network's input, px."""

    size: tuple[Count, Count]
    """Width and height that the image is resized into."""
    keep_ratio: bool = True
    pad_divisor: Count = 32


class Test(Spec):
    """Post-processing and batch of the evaluation: part of the protocol, since padding moves mAP."""

    batch: Count
    score_threshold: Probability
    nms_iou: Probability
    pre_nms: Count = 1000
    """Candidates of one pyramid level before NMS."""
    max_per_image: Count = 100


class Init(Spec):
    """Where FP training starts: nothing, a backbone's or a whole detector's checkpoint, by file name."""

    kind: Literal["scratch", "backbone", "checkpoint"]
    file: str | None = None
    """Found in the checkpoint folder; ends in `-<first 8 hex digits of its sha256>.pth`."""


class DetectorScale(Spec):
    """What a tier changes of mmdet's configuration; None keeps mmdet's value."""

    input: Input
    test: Test
    init: Init
    width: Count | None = None
    """Channels of the backbone's first stage (ResNet: 64)."""
    neck_width: Count | None = None
    """Channels of the neck and the head (FPN: 256)."""
    head_convs: Count | None = None
    """Convolutions of each head branch before the predictors (RetinaNet: 4)."""
    anchor_scale: Annotated[float, Field(gt=0)] | None = None
    """Side of the smallest anchor over the stride of its level (RetinaNet: 4)."""
    head_init_std: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of the head's initial weights before its predictors. RetinaNet's 0.01 suits 256 channels;
    with 32 the signal of four such layers all but vanishes."""
