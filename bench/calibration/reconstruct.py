"""Reconstruction: weights are rounded so that each unit's output stays near the full-precision one.

AdaRound (2004.10568) takes layers, BRECQ (2102.05426) blocks, and QDrop (2203.05740) drops the quantization of
activations at random meanwhile. The equations are the papers'; losses and their schedule are those of the released code
that the three have in common (wimh966/QDrop 0b0668a9): squared errors, summed over channels and averaged over
everything else, and the regulariser of the rounding after a warm-up.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.calibration.capture import capture, full_precision
from bench.calibration.rounding import Rounding
from bench.calibration.units import Unit, find_units
from bench.errors import BenchError
from bench.quantization.functional import fake_quantize
from bench.quantization.lsq import SMALLEST
from bench.quantization.quantizer import Quantizer
from bench.schema.options.calibration import ReconstructionOptions


class Result(NamedTuple):
    """What became of a unit."""

    layers: int
    calls: int
    before: float
    """Squared error of its output over all images, summed over channels, averaged over all else; weights to nearest."""
    after: float
    """The same with the weights as they were baked, and with the learned step sizes."""
    flipped: float
    """Share of the weights that are not rounded to the nearest code."""


def reconstruct(
    model: nn.Module,
    forwards: Sequence[Callable[[], Any]],
    options: ReconstructionOptions,
    blocks: Sequence[str] = (),
    drop: float = 0.0,
    step_lr: float | None = None,
) -> dict[str, Result]:
    """Round the weights of a calibrated model unit by unit, in the order of a pass, and bake them onto their grids.

    Args:
        model: with quantizers that are calibrated; it is changed in place.
        forwards: passes over the images, whose tensors are kept in memory for the unit under way.
        options: the schedule.
        blocks: shell patterns of module names (`find_units`); without them every layer is a unit.
        drop: probability with which the quantization of an activation is left out, value by value.
        step_lr: learning rate of the step sizes of activations, falling to 0 as a cosine; None: they stay.

    Returns:
        By the unit's name what became of it. Random numbers come from torch's own generator.

    Raises BenchError for a block that cannot be run alone, and a weight that is no parameter or has no grid.
    """
    training, trained = model.training, [p for p in model.parameters() if p.requires_grad]
    model.eval()
    model.requires_grad_(False)
    try:
        units = find_units(model, blocks, forwards[0])
        originals = {layer: _weight(name, layer) for unit in units for name, layer in unit.layers.items()}
        learned: set[Quantizer] = set()
        results = {}
        for unit in units:
            with full_precision(model, originals):
                fp = capture(unit, forwards)
            quantized = capture(unit, forwards) if options.inputs == "quantized" else fp
            images = [_Image(q.inputs, f.inputs if drop else [], f.outputs) for q, f in zip(quantized, fp, strict=True)]
            del quantized, fp
            own = tuple(q for q in unit.activations if q not in learned)
            learned.update(own)
            results[unit.name] = _Reconstruction(unit, images, options, drop, own, step_lr).run()
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        model.train(training)
    return results


class _Image(NamedTuple):
    """One image's tensors, [1, ...] for each call of the unit."""

    quantized: list[Tensor]
    """Inputs as the layers before have made them, quantized."""
    fp: list[Tensor]
    """Inputs in full precision; none where nothing is dropped."""
    targets: list[Tensor]


class _Activation:
    """A forward hook of an activation's quantizer, which is off meanwhile: drops values, and learns the step, if the
    quantizer has a grid (one with an offset for each channel has none)."""

    def __init__(self, quantizer: Quantizer, drop: float, learns: bool) -> None:
        self.drop = drop
        learns = learns and quantizer.has_grid
        self.step = _step(quantizer).detach().clone().requires_grad_() if learns else None
        self.made: tuple[weakref.ref[Tensor], Tensor] | None = None

    def __call__(self, quantizer: Quantizer, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        (x,) = args
        # One quantizer's several readers get the same values.
        if self.made is not None and self.made[0]() is x:
            return self.made[1]
        if self.step is None:
            y = quantizer.quantize(x)
        else:
            _, grid = quantizer.grid(x)
            levels = quantizer.qmax if quantizer.symmetric else grid.qmax - grid.qmin
            scale = (max(1, x.numel()) * levels) ** -0.5
            y = fake_quantize(x, self.step, grid._replace(kind="lsq-mqbench", grad_scale=scale, least=SMALLEST))
        if self.drop:
            y = torch.where(torch.empty_like(x, dtype=torch.bool).bernoulli_(self.drop), x, y)
        self.made = weakref.ref(x), y
        return y


class _Reconstruction:
    """Of one unit."""

    def __init__(
        self,
        unit: Unit,
        images: list[_Image],
        options: ReconstructionOptions,
        drop: float,
        own: Sequence[Quantizer],
        step_lr: float | None,
    ) -> None:
        self.unit, self.images, self.options, self.drop, self.step_lr = unit, images, options, drop, step_lr
        zeta, gamma = options.stretch
        self.roundings = {
            layer.held.weight: Rounding(layer.held.weight, layer.weight, zeta, gamma)
            for layer in unit.layers.values()
            if layer.held.weight is not None
        }
        self.activations = {q: _Activation(q, drop, step_lr is not None and q in own) for q in unit.activations}
        if not drop:
            self.activations = {q: hook for q, hook in self.activations.items() if hook.step is not None}

    def run(self) -> Result:
        before = self._error()
        with _replaced({**self.roundings, **self.activations}):
            self._learn()
        for layer in self.unit.layers.values():
            if layer.held.weight is not None:
                layer.weight.data.copy_(self.roundings[layer.held.weight].baked())
        for quantizer, hook in self.activations.items():
            if hook.step is not None:
                _step(quantizer).data.copy_(hook.step.detach())
        count = sum(rounding.v.numel() for rounding in self.roundings.values())
        flipped = sum(rounding.flipped() for rounding in self.roundings.values()) / count
        return Result(len(self.unit.layers), self.unit.calls, before, self._error(), flipped)

    def _learn(self) -> None:
        o = self.options
        rounds = [rounding.v for rounding in self.roundings.values()]
        steps = [hook.step for hook in self.activations.values() if hook.step is not None]
        groups: list[dict[str, Any]] = [
            {"params": rounds, "lr": o.lr},
            *([{"params": steps, "lr": self.step_lr}] if steps else []),
        ]
        optimizer = torch.optim.Adam(groups, fused=True)
        for done in range(o.iterations):
            chosen = torch.randperm(len(self.images))[: o.batch].tolist()
            loss = self._loss([self.images[i] for i in chosen])
            # The schedule counts from 1, as the released code does.
            if (beta := _beta(done + 1, o)) is not None:
                for rounding in self.roundings.values():
                    loss = loss + o.regulariser * rounding.undecided(beta)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for group in optimizer.param_groups[1:]:
                group["lr"] = (self.step_lr or 0.0) * (1 + math.cos(math.pi * done / o.iterations)) / 2
            optimizer.step()

    def _loss(self, images: Sequence[_Image], drop: bool = True) -> Tensor:
        """Of a mini-batch: images of one size go through the unit together."""
        sizes: dict[tuple[Any, ...], list[_Image]] = {}
        for image in images:
            sizes.setdefault(tuple(x.shape for x in image.quantized), []).append(image)
        errors, positions = [], 0
        device = next(self.unit.module.parameters()).device
        for same in sizes.values():
            with _passing(self.unit):
                for call in range(self.unit.calls):
                    x = torch.cat([image.quantized[call] for image in same]).to(device)
                    if drop and self.drop:
                        fp = torch.cat([image.fp[call] for image in same]).to(device)
                        x = torch.where(torch.empty_like(x, dtype=torch.bool).bernoulli_(self.drop), fp, x)
                    target = torch.cat([image.targets[call] for image in same]).to(device)
                    errors.append((self.unit.module(x) - target).square().sum())
                    positions += target.numel() // target.shape[1 if target.dim() == 4 else -1]
        return torch.stack(errors).sum() / positions

    @torch.no_grad()
    def _error(self) -> float:
        """Over all images, as the model computes now."""
        batches = [self.images[i : i + self.options.batch] for i in range(0, len(self.images), self.options.batch)]
        return sum(float(self._loss(batch, drop=False)) * len(batch) for batch in batches) / len(self.images)


def _beta(iteration: int, o: ReconstructionOptions) -> float | None:
    """The regulariser's exponent: it falls linearly after the warm-up, in which there is no regulariser (None)."""
    start = o.warmup * o.iterations
    if iteration < start:
        return None
    high, low = o.beta
    return low + (high - low) * (1 - (iteration - start) / (o.iterations - start))


def _weight(name: str, layer: Any) -> Tensor:
    if not isinstance(layer.weight, nn.Parameter):
        raise BenchError(
            f"reconstruction: the weight of {name!r} is no parameter, so it cannot be baked; fold it before"
        )
    return layer.weight.detach().clone()


def _step(quantizer: Quantizer) -> Tensor:
    step = getattr(quantizer, "step", None)
    if not isinstance(step, Tensor):
        raise BenchError(f"reconstruction: {type(quantizer).__name__} has no step size that could be learned")
    return step


@contextmanager
def _replaced(hooks: dict[Quantizer, Any]) -> Iterator[None]:
    """These hooks give what their quantizers would."""
    handles = [quantizer.register_forward_hook(hook) for quantizer, hook in hooks.items()]
    try:
        for quantizer in hooks:
            quantizer.mode = "off"
        yield
    finally:
        for handle in handles:
            handle.remove()
        for quantizer in hooks:
            quantizer.mode = "quantize"


@contextmanager
def _passing(unit: Unit) -> Iterator[None]:
    """All calls of the unit are those of one pass, the first one next."""
    for layer in unit.layers.values():
        layer.start_pass(unit)
    try:
        yield
    finally:
        for layer in unit.layers.values():
            layer.end_pass()
