"""One training step of a suite's detector at tier `mini`, with and without quantizers, everything else equal."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from conftest import PROJECT
from detector_scales import settle
from torch import nn

from bench.calibration.batches import Batches
from bench.data.load import load
from bench.detectors.build import build_detector
from bench.detectors.pipeline import Draw, train_loader
from bench.engine.place import trace_placement
from bench.engine.training import optim_wrapper
from bench.methods.lsq import LSQ
from bench.quantization.apply import apply
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.placement import Policy

BATCH = 16
TABLE = load_suite("hqod/table1", PROJECT).suite
_ROW = TABLE.row("lsq-w4a4")
_RECIPE = TABLE.tiers["mini"].recipes[_ROW.recipe]
RECIPE = _RECIPE.model_copy(update={"optimizer": _RECIPE.optimizer.model_copy(update={"lr": 1e-6})})
"""Table I's, but that the one batch is seen so often that its learning rate would overfit it, and YOLOX diverge."""
RETINANET = TABLE.policies["hqod"]
YOLOX = RETINANET.model_copy(
    update={
        "first": ("backbone.stem.conv.conv",),
        "last": ("bbox_head.multi_level_conv_cls.*", "bbox_head.multi_level_conv_reg.*",
                 "bbox_head.multi_level_conv_obj.*"),
    }
)  # fmt: skip
"""HQOD's policy for it: the first layer and the three branches' last ones at 8 bits."""

DETECTORS: dict[str, tuple[str, Policy]] = {
    "retinanet-r18": ("hqod/table1", RETINANET),
    "yolox-nano": ("detectors/shapes_voc", YOLOX),
}


class Step:
    """A model with its optimizer and one batch; a call trains one step."""

    def __init__(self, model: nn.Module, batch: dict[str, Any]) -> None:
        self.model, self.batch = model.train(), batch
        self.optimizer = optim_wrapper(model, RECIPE)

    def __call__(self) -> None:
        """Forward, loss, backward and optimizer."""
        self.model.train_step(copy.copy(self.batch), self.optimizer)  # type: ignore[operator]


class Steps(NamedTuple):
    """One detector's steps on one batch, from the same weights."""

    plain: Step
    """In FP32."""
    layers: Step
    """Quantized by LSQ at 4 bits, as Table I has it; layers alone read quantized tensors (`readers: layers`)."""
    everything: Step
    """The same with `readers: all`."""


def steps_of(name: str, cache: Path) -> Steps:
    """The steps of one detector."""
    suite, policy = DETECTORS[name]
    tier = load_suite(suite, PROJECT).suite.tiers["mini"]
    few = tier.data.images.model_copy(update={"train": BATCH, "tune": 0, "test": 1})
    data = tier.data.model_copy(update={"images": few})
    images = load(data, "train", PROJECT, cache)
    scale = tier.detectors[name]
    batch = next(iter(train_loader(images, scale.input, RECIPE.augment, BATCH, Draw(0, BATCH))))
    plain = build_detector(name, scale, images.classes, 0)
    settle(plain, batch)
    quantized = [_quantized(plain, policy.model_copy(update={"readers": who}), batch) for who in ("layers", "all")]
    torch.manual_seed(0)
    return Steps(*(Step(model, batch) for model in (plain, *quantized)))


def _quantized(plain: nn.Module, policy: Policy, batch: dict[str, Any]) -> nn.Module:
    model = copy.deepcopy(plain)
    placement = trace_placement(model, batch, policy, Bits.parse("4/4"))
    method = LSQ(_ROW.methods[0].options)
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, Batches(model, [batch]))
    return model
