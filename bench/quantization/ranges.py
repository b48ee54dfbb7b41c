"""Integer ranges, and the step size that covers a range of values (MQBench 00f477d; VP-QOD 27f69e85)."""

from typing import Literal

import torch
from torch import Tensor

Unsigned = Literal["hqod", "mqbench"]
"""How unsigned tensors are covered. `hqod`: [0, high], code 0 is 0. `mqbench`: as if signed, the middle code is 0."""


def integer_range(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest code: [-2^(b-1), 2^(b-1) - 1] or [0, 2^b - 1]."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


EPS = torch.finfo(torch.float32).eps
"""The smallest step."""


def or_one(step: Tensor, least: float = 0.0) -> Tensor:
    """The step, at least EPS; 1.0 in place of one that is not above `least`.

    A tensor that was zero throughout calibration has no range. With the smallest step all that it may become later
    would lie outside, where no gradient passes: it could never come alive.
    """
    # So asked, since NaN must stay visible.
    return torch.where(step <= least, torch.ones_like(step), step.clamp_min(EPS))


def step_of_range(low: Tensor, high: Tensor, qmin: int, qmax: int, signed: bool, unsigned: Unsigned = "hqod") -> Tensor:
    """Step size for values in [low, high]: unsigned high / (qmax - qmin), signed max|x| / ((qmax - qmin) / 2).

    As HQOD's released code has it (VP-QOD 27f69e85); MQBench (00f477d) takes the second formula for both. An unsigned
    step that is not above EPS becomes 1.0, as there; a signed one only where the range is zero, while there it stays
    EPS, from which nothing comes alive.
    """
    middle = signed or unsigned == "mqbench"
    step = torch.maximum(-low, high) / ((qmax - qmin) / 2) if middle else high / (qmax - qmin)
    return or_one(step, 0.0 if middle else EPS)


def zero_point(qmin: int, qmax: int, signed: bool, unsigned: Unsigned = "hqod") -> int:
    """The integer code of 0 that the error search assumes."""
    return (qmin + qmax) // 2 if unsigned == "mqbench" and not signed else 0
