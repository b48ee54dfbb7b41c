"""What the gradients of single images say about weights: Fisher information, and the trace of the Hessian.

A loss is given as a function without arguments, one an image, which makes it anew with its graph.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Loss = Callable[[], Tensor]


def fisher(losses: Iterable[Loss], weights: Sequence[Tensor]) -> list[Tensor]:
    """The diagonal of the empirical Fisher information of each weight, of its shape: the mean of the squared gradients
    of single images (2407.03442, eq. 8), never the square of their mean. A weight that no loss hangs on gets 0."""
    sums, count = [torch.zeros_like(weight, requires_grad=False) for weight in weights], 0
    for loss in losses:
        for total, gradient in zip(sums, torch.autograd.grad(loss(), weights, allow_unused=True), strict=True):
            if gradient is not None:
                total.addcmul_(gradient, gradient)
        count += 1
    return [total / count for total in sums]


def fisher_trace(losses: Sequence[Loss], weights: Sequence[Tensor]) -> Tensor:
    """The trace of that matrix over all weights, a scalar that can be derived itself (eq. 12)."""
    norms = []
    for loss in losses:
        gradients = torch.autograd.grad(loss(), weights, create_graph=True, allow_unused=True)
        norms.append(torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None]).sum())
    return torch.stack(norms).mean()


def hessian_traces(losses: Iterable[Loss], weights: Sequence[Tensor], probes: int, seed: int) -> list[Tensor]:
    """The trace of the Hessian of the mean loss in each weight, a scalar each, by Hutchinson's estimator
    (HAWQ-V2, 1911.03852, eq. 5): the mean of v'Hv over `probes` vectors of signs for each image."""
    generator = torch.Generator().manual_seed(seed)
    sums, count = [torch.zeros((), dtype=weight.dtype, device=weight.device) for weight in weights], 0
    for loss in losses:
        gradients = torch.autograd.grad(loss(), weights, create_graph=True, materialize_grads=True)
        for _ in range(probes):
            signs = [torch.randint(2, w.shape, generator=generator).to(w).mul_(2).sub_(1) for w in weights]
            products = torch.autograd.grad(gradients, weights, signs, retain_graph=True, materialize_grads=True)
            for total, sign, product in zip(sums, signs, products, strict=True):
                total += (sign * product).sum()
            count += 1
    return [total / count for total in sums]
