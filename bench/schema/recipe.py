"""How a row is trained: optimizer, schedule, batch. Every number of a paper's recipe has a field here."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Spec

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Group(Spec):
    """Multipliers for the parameters whose name contains the group's key."""

    lr: NonNegative = 1.0
    decay: NonNegative = 1.0


class Optimizer(Spec):
    """An optimizer of torch.optim and its parameter groups."""

    kind: Literal["sgd", "adam", "adamw"]
    lr: Positive
    weight_decay: NonNegative
    momentum: NonNegative | None = None
    nesterov: bool = False
    betas: tuple[float, float] | None = None
    norm_decay: NonNegative = 1.0
    """Multiplies the weight decay of normalisation layers."""
    bias_decay: NonNegative = 1.0
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
    """The learning rate starts at `ratio` times its value and grows for `length` steps or epochs."""

    kind: Literal["linear", "exponential"]
    length: Count
    ratio: Annotated[float, Field(gt=0, le=1)]
    unit: Literal["step", "epoch"] | None = None
    """What `length` is counted in; left out: the recipe's unit."""


class Decay(Spec):
    """What the learning rate does after the warm-up; `milestones` are in the recipe's unit."""

    kind: Literal["constant", "step", "cosine"]
    milestones: tuple[Count, ...] = ()
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    end_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Cosine only: the last learning rate over the first."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "Decay":
        if (self.kind == "step") != bool(self.milestones):
            raise ValueError("`step` needs milestones, and only `step` has them")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must grow")
        return self


class Augment(Spec):
    """Training augmentation."""

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of a horizontal flip."""
    vertical_flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    scale: tuple[Positive, Positive] | None = None
    """Range of a random resize factor of the input size, before the crop or padding back to that size."""


class Evaluation(Spec):
    """When a model is scored during its training, on the split that scores it at the end, in the recipe's unit."""

    first: Count
    """The end of this step or epoch,"""
    every: Count = 1
    """and of each such further one."""


class Recipe(Spec):
    """One training schedule; `unit` is what `length`, milestones and warm-up are counted in."""

    unit: Literal["step", "epoch"]
    length: Count
    batch: Count
    """Images of one optimizer step, over all processes."""
    optimizer: Optimizer
    decay: Decay
    warmup: Warmup | None = None
    clip: Positive | None = None
    """Largest L2 norm of the gradient."""
    repeat: Count = 1
    """RepeatDataset: passes over the training split in one epoch."""
    batch_norm: Literal["train", "frozen"] = "train"
    """`frozen`: the backbone normalises by its running statistics, which stay as they are (mmdet's `norm_eval`)."""
    frozen_stages: Annotated[int, Field(ge=-1, le=4)] = -1
    """The backbone's stem (0) and its first stages stay as they are, with the step sizes inside; -1: nothing does."""
    augment: Augment = Augment()
    evaluation: Evaluation | None = None
    """Scores beside that of the last step: papers report the best of them. They change nothing in training."""
    snapshot_every: Count | None = None
    """Steps between snapshots from which an interrupted training goes on; no part of the identity. None: it starts
    again, which is simplest where it takes minutes."""
    cost_s: Positive | None = None
    """Expected seconds on one core of a small machine, for `plan`; no part of the identity."""

    @model_validator(mode="after")
    def _inside(self) -> "Recipe":
        if self.decay.milestones and self.decay.milestones[-1] >= self.length:
            raise ValueError(f"milestone {self.decay.milestones[-1]} lies at or past the end, {self.length}")
        return self
