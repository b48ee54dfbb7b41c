"""AdaRound's rounding of a weight, which is learned (Nagel et al., 2004.10568).

Each weight becomes s * clip(floor(w / s) + h(V), n, p) (eq. 16) with the rectified sigmoid h(V) = clip(sigmoid(V) (zeta
- gamma) + gamma, 0, 1) (eq. 23). A regulariser drives h to 0 or 1; then the weight is baked onto its grid.
"""

import torch
from torch import Tensor, nn

from bench.quantization.quantizer import Quantizer


class Rounding:
    """The learned rounding of one weight; a forward hook of its quantizer, which is off meanwhile."""

    def __init__(self, quantizer: Quantizer, weight: Tensor, zeta: float, gamma: float) -> None:
        """`zeta` and `gamma` are the ends of the stretched sigmoid. V starts where h is the fraction of w / s."""
        parameter, grid = quantizer.grid(weight)
        self.step, self.qmin, self.qmax = grid.step(parameter).detach(), grid.qmin, grid.qmax
        self.zeta, self.gamma = zeta, gamma
        scaled = weight.detach() / self.step
        self.nearest = scaled.round().clamp(self.qmin, self.qmax)
        self.floor = scaled.floor()
        fraction = scaled - self.floor
        self.v = nn.Parameter(-torch.log((zeta - gamma) / (fraction - gamma) - 1))

    def __call__(self, quantizer: Quantizer, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """The weight under soft rounding, in place of what the quantizer returns."""
        return (self.floor + self.share()).clamp(self.qmin, self.qmax) * self.step

    def share(self) -> Tensor:
        """h(V), of the weight's shape: 0 rounds down, 1 up."""
        return (torch.sigmoid(self.v) * (self.zeta - self.gamma) + self.gamma).clamp(0, 1)

    def undecided(self, beta: float) -> Tensor:
        """Sum of 1 - |2 h(V) - 1|^beta (eq. 24): 0 where every weight is rounded up or down, a scalar."""
        return (1 - (2 * self.share() - 1).abs().pow(beta)).sum()

    @torch.no_grad()
    def codes(self) -> Tensor:
        """The integer codes after rounding for good, of the weight's shape."""
        return (self.floor + (self.share() >= 0.5)).clamp(self.qmin, self.qmax)

    @torch.no_grad()
    def baked(self) -> Tensor:
        """The weight on its grid, of its shape: the quantizer gives it back as it is."""
        return self.codes() * self.step

    @torch.no_grad()
    def flipped(self) -> int:
        """How many weights are not rounded to the nearest code."""
        return int((self.codes() != self.nearest).sum())
