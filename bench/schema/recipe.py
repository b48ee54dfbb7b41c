"""How a row is trained: optimizer, schedule, batch. Every number of a paper's recipe has a field here."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Count, Fraction, NonNegative, Positive, Spec


class Group(Spec):
    """Factors for the parameters whose name contains the group's key."""

    lr: NonNegative = 1.0
    """Factor on the learning rate."""
    decay: NonNegative = 1.0
    """Factor on the weight decay."""


class Optimizer(Spec):
    """An optimizer of torch.optim and its parameter groups."""

    kind: Literal["sgd", "adam", "adamw"]
    lr: Positive
    """Learning rate after the warm-up."""
    weight_decay: NonNegative
    momentum: NonNegative | None = None
    """SGD only."""
    nesterov: bool = False
    """SGD only."""
    betas: tuple[float, float] | None = None
    """Adam and AdamW only."""
    norm_decay: NonNegative = 1.0
    """Factor on the weight decay of normalisation layers."""
    bias_decay: NonNegative = 1.0
    """Factor on the weight decay of biases."""
    groups: dict[str, Group] = {}
    """By a part of the parameter's name, as in `backbone` or `backbone.layer1`; `.step` are LSQ's step sizes,
    `.log2_threshold` TQT's thresholds. A quantizer's parameter is named after its site, as in
    `quantizers.backbone.conv1.weight.step`. Where several keys fit, the one that reaches farthest into the name counts,
    of these the longest: `.step` beats `backbone`, and `backbone.layer1` beats it too. A key that fits no parameter is
    an error; but in a row without quantizers one that begins with a dot may be meant for those of other rows."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "Optimizer":
        if self.kind == "sgd" and self.betas is not None:
            raise ValueError("betas belong to adam and adamw, not to sgd")
        if self.kind != "sgd" and (self.momentum is not None or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, not to {self.kind}")
        return self


def most_specific(keys: Iterable[str], name: str) -> str | None:
    """The key of the group that a parameter of this name belongs to; None where none fits."""
    fitting = [(name.rindex(key) + len(key), len(key), key) for key in keys if key in name]
    return max(fitting)[2] if fitting else None


class Warmup(Spec):
    """The learning rate starts low and grows to its value."""

    kind: Literal["linear", "exponential"]
    length: Count
    """For how many steps or epochs it grows."""
    ratio: Annotated[float, Field(gt=0, le=1)]
    """The learning rate at the start over its value at the end of the warm-up."""
    unit: Literal["step", "epoch"] | None = None
    """What `length` counts; by default the recipe's unit."""


class Decay(Spec):
    """What the learning rate does after the warm-up."""

    kind: Literal["constant", "step", "cosine"]
    milestones: tuple[Count, ...] = ()
    """`step` only: the steps or epochs (the recipe's unit) after which the learning rate falls."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """`step` only: the factor by which it falls at each milestone."""
    end_ratio: Fraction = 0.0
    """`cosine` only: the last learning rate over the first."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "Decay":
        if (self.kind == "step") != bool(self.milestones):
            raise ValueError("`step` needs milestones, and only `step` has them")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must grow")
        return self


class Augment(Spec):
    """How training images are varied."""

    flip: Fraction = 0.5
    """Probability of a horizontal flip."""
    vertical_flip: Fraction = 0.0
    scale: tuple[Positive, Positive] | None = None
    """Range of a random factor on the input size; the image is then cropped or padded to the input size."""


class Evaluation(Spec):
    """When a model is scored during its training, beside the score at its end and on the same split.

    Both numbers count steps or epochs, whichever is the recipe's unit.
    """

    first: Count
    """First step or epoch after which the model is scored."""
    every: Count = 1
    """Interval between scorings."""


class Recipe(Spec):
    """One training schedule."""

    unit: Literal["step", "epoch"]
    """What `length`, `decay.milestones`, `warmup.length` and `evaluation` count."""
    length: Count
    """Steps or epochs of training."""
    batch: Count
    """Images of one optimizer step, over all processes."""
    optimizer: Optimizer
    decay: Decay
    warmup: Warmup | None = None
    clip: Positive | None = None
    """Gradients with a larger L2 norm are scaled down to this one."""
    repeat: Count = 1
    """Passes over the training split in one epoch (mmdet's RepeatDataset)."""
    batch_norm: Literal["train", "frozen"] = "train"
    """`frozen`: the backbone's BatchNorm uses its running statistics and does not update them (mmdet's `norm_eval`)."""
    frozen_stages: Annotated[int, Field(ge=-1, le=4)] = -1
    """Parts of the backbone that are not trained, the step sizes inside included: 0 is its stem, 1 the stem and the
    first stage, -1 nothing."""
    augment: Augment = Augment()
    evaluation: Evaluation | None = None
    """Scores during training, of which papers report the best. They do not change the training."""
    snapshot_every: Count | None = None
    """Steps between snapshots from which an interrupted training continues. Without snapshots it starts again, which is
    simplest if it takes minutes. Not part of the identity."""
    cost_s: Positive | None = None
    """Expected seconds on one core of a small machine, for `plan`. Not part of the identity."""

    @model_validator(mode="after")
    def _inside(self) -> "Recipe":
        if self.decay.milestones and self.decay.milestones[-1] >= self.length:
            raise ValueError(f"milestone {self.decay.milestones[-1]} lies at or past the end, {self.length}")
        return self
