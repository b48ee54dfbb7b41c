"""The learning rate of a recipe as one function of the step."""

import math
from typing import NamedTuple

from bench.schema.recipe import Recipe


class Lengths(NamedTuple):
    """A recipe's lengths in optimizer steps."""

    total: int
    warmup: int
    milestones: tuple[int, ...]
    evaluations: frozenset[int] = frozenset()
    """Steps after which the model is scored; the last one is not among them."""


def in_steps(recipe: Recipe, images: int) -> Lengths:
    """A recipe's lengths in steps, for a training split of `images` images; the last partial batch is dropped."""
    steps = {"step": 1, "epoch": max(1, recipe.repeat * images // recipe.batch)}
    each = steps[recipe.unit]
    warmup = recipe.warmup.length * steps[recipe.warmup.unit or recipe.unit] if recipe.warmup else 0
    when = recipe.evaluation
    scored = range(when.first, recipe.length, when.every) if when else ()
    return Lengths(
        recipe.length * each,
        warmup,
        tuple(m * each for m in recipe.decay.milestones),
        frozenset(at * each for at in scored),
    )


def factor(recipe: Recipe, lengths: Lengths, step: int) -> float:
    """Learning rate at `step` (from 0) over the optimizer's.

    Warm-up multiplies: linear 1 - (1 - step/W)(1 - ratio), exponential ratio^(1 - step/W), as mmcv's hook has it.
    """
    value = 1.0
    decay = recipe.decay
    if decay.kind == "step":
        value = decay.gamma ** sum(step >= milestone for milestone in lengths.milestones)
    elif decay.kind == "cosine":
        done = min(1.0, step / max(1, lengths.total - 1))
        value = decay.end_ratio + (1 - decay.end_ratio) * (1 + math.cos(math.pi * done)) / 2
    if recipe.warmup is not None and step < lengths.warmup:
        rest = 1 - step / lengths.warmup
        ratio = recipe.warmup.ratio
        value *= 1 - rest * (1 - ratio) if recipe.warmup.kind == "linear" else ratio**rest
    return value
