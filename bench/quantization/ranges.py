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


def or_one(step: Tensor) -> Tensor:
    """The step, or 1.0 in place of one that is not above the smallest (VP-QOD 27f69e85, for unsigned tensors).

    A tensor that was zero throughout calibration has no range. With the smallest step all that it may become later
    would lie outside, where no gradient passes: it could never come alive.
    """
    # So asked, since NaN must stay visible.
    return torch.where(step <= EPS, torch.ones_like(step), step)


def step_of_range(low: Tensor, high: Tensor, qmin: int, qmax: int, signed: bool, unsigned: Unsigned = "hqod") -> Tensor:
    """Step size for values in [low, high]: unsigned high / (qmax - qmin), signed max|x| / ((qmax - qmin) / 2).

    As HQOD's released code has it (VP-QOD 27f69e85); MQBench (00f477d) takes the second formula for both. A range
    that is next to nothing gives 1.0, see `or_one`; there both give the smallest step to a signed one.
    """
    middle = signed or unsigned == "mqbench"
    step = torch.maximum(-low, high) / ((qmax - qmin) / 2) if middle else high / (qmax - qmin)
    return or_one(step)


def zero_point(qmin: int, qmax: int, signed: bool, unsigned: Unsigned = "hqod") -> int:
    """The integer code of 0 that the error search assumes."""
    return (qmin + qmax) // 2 if unsigned == "mqbench" and not signed else 0
