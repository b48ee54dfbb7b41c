"""Where a built model gets the cheaper parts."""

from mmcv.cnn.bricks.swish import Swish
from mmdet.models import data_preprocessors, dense_heads, losses
from mmdet.models.task_modules import assigners, coders, prior_generators, samplers
from torch import nn

from bench.detectors.lean import anchors, assign, box_math, focal, heads, images, swish

EXCHANGED: dict[type, type] = {
    data_preprocessors.DetDataPreprocessor: images.DetDataPreprocessor,
    losses.FocalLoss: focal.FusedFocalLoss,
    losses.L1Loss: box_math.L1Loss,
    dense_heads.RetinaHead: heads.RetinaHead,
    dense_heads.ATSSHead: heads.ATSSHead,
    dense_heads.SSDHead: heads.SSDHead,
    dense_heads.RPNHead: heads.RPNHead,
    prior_generators.AnchorGenerator: anchors.AnchorGenerator,
    prior_generators.SSDAnchorGenerator: anchors.SSDAnchorGenerator,
    prior_generators.MlvlPointGenerator: anchors.MlvlPointGenerator,
    assigners.MaxIoUAssigner: assign.MaxIoUAssigner,
    assigners.SimOTAAssigner: assign.SimOTAAssigner,
    samplers.PseudoSampler: assign.PseudoSampler,
    coders.DeltaXYWHBBoxCoder: box_math.DeltaXYWHBBoxCoder,
    Swish: swish.Swish,
}
"""mmdet's class, and ours in its place: modules, and what modules hold as attributes."""


def exchange(model: nn.Module) -> None:
    """Make mmdet's parts of `model` the cheaper ones, in place; a user's subclass of one stays what it is.

    A part becomes an instance of its new class, which adds no state to it.
    """
    for module in model.modules():
        for part in [*vars(module).values(), module]:
            if type(part) in EXCHANGED:
                part.__class__ = EXCHANGED[type(part)]
    preparation = getattr(model, "data_preprocessor", None)
    if isinstance(preparation, images.DetDataPreprocessor):
        preparation.truth_on_host = type(getattr(model, "bbox_head", None)) is heads.RetinaHead
