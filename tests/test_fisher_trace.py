"""The trace of the Fisher information has a gradient: finite differences in float64, for each of the architectures."""

from collections.abc import Callable

import pytest
import torch
from detr_scenes import CLASSES, Frozen, scene, small_detr
from torch import Tensor, nn

from bench.calibration.fisher import fisher, fisher_trace
from bench.detectors.critical import Group, Objective
from bench.detectors.twice import deformable_attention, differentiable_twice
from bench.errors import BenchError
from bench.methods.fisher_trace import FisherTrace, weights_of
from bench.quantization.apply import quantized_layers

DETRS = ("detr-r50", "deformable-detr-r50", "deformable-detr-refine-r50", "dab-detr-r50")
OPTIONS = {"categories": ["b", "e"], "strength": [0.5, 1.5], "images": 2}


def regulariser(model: nn.Module, progress: float = 0.5) -> Callable[[], Tensor]:
    method, batch = FisherTrace(OPTIONS), {**scene(), "progress": progress}
    return lambda: method.regulariser(model, batch)


@pytest.mark.parametrize("name", DETRS)
def test_its_gradient_is_that_of_finite_differences(name: str) -> None:
    model, frozen = small_detr(name), Frozen()
    trace = regulariser(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    with frozen.frozen():
        gradients = torch.autograd.grad(trace(), parameters, materialize_grads=True)
    generator = torch.Generator().manual_seed(3)
    for part in ("", "backbone", "encoder", "decoder", "bbox_head"):
        inside = [n.startswith(part) for n, p in model.named_parameters() if p.requires_grad]
        direction = [
            torch.randn(p.shape, generator=generator, dtype=p.dtype) * on
            for p, on in zip(parameters, inside, strict=True)
        ]
        expected = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        assert expected != 0
        ends = []
        for step in (1e-7, -1e-7):
            _move(parameters, direction, step)
            with frozen.frozen():
                ends.append(trace().item())
            _move(parameters, direction, -step)
        assert (ends[0] - ends[1]) / 2e-7 == pytest.approx(expected, rel=1e-3), part


def _move(parameters: list[Tensor], direction: list[Tensor], step: float) -> None:
    with torch.no_grad():
        for parameter, change in zip(parameters, direction, strict=True):
            parameter.add_(step * change)


@pytest.mark.parametrize("name", ("detr-r50", "deformable-detr-r50", "dab-detr-r50"))
def test_with_quantizers_on_both_orders_pass_them_straight_through(name: str) -> None:
    """Both derivatives are those in the quantized weight q(w), and 0 in entries that the range cuts off."""
    quantized, plain = small_detr(name, quantized=True), small_detr(name)
    layers = quantized_layers(quantized).values()
    values = [layer.held.weight(layer.weight) for layer in layers]
    inside = [
        torch.autograd.grad(v, layer.weight, torch.ones_like(v))[0] for v, layer in zip(values, layers, strict=True)
    ]
    with torch.no_grad():
        for value, target in zip(values, weights_of(plain), strict=True):
            target.copy_(value)
    objective, batch = Objective(plain, Group.of(("b", "e"), CLASSES), 0.0), scene()
    with differentiable_twice():
        norms = []
        for k in range(2):
            loss = objective(batch["inputs"][k : k + 1], batch["data_samples"][k : k + 1])
            first = torch.autograd.grad(loss, weights_of(plain), create_graph=True, materialize_grads=True)
            norms += [(one * on).square().sum() / 2 for one, on in zip(first, inside, strict=True)]
        expected = torch.autograd.grad(torch.stack(norms).sum(), weights_of(plain), materialize_grads=True)
    found = torch.autograd.grad(regulariser(quantized)(), weights_of(quantized), materialize_grads=True)
    assert 0 < sum(int((on == 0).sum()) for on in inside) < sum(on.numel() for on in inside) / 10
    for one, other, on in zip(found, expected, inside, strict=True):
        assert torch.allclose(one, other * on, rtol=1e-6, atol=1e-9)


def test_its_value_is_the_sum_of_the_fisher_information_times_lambda() -> None:
    model, batch = small_detr("dab-detr-r50"), scene()
    objective = Objective(model, Group.of(("b", "e"), CLASSES), 0.0)
    singles = [(batch["inputs"][k : k + 1], batch["data_samples"][k : k + 1]) for k in range(2)]
    expected = sum(float(f.sum()) for f in fisher([lambda s=s: objective(*s) for s in singles], weights_of(model)))
    for progress, strength in ((0.0, 0.5), (0.5, 1.0), (0.75, 1.25)):
        assert float(regulariser(model, progress)().detach()) == pytest.approx(strength * expected, rel=1e-9)


def test_it_leaves_modes_and_statistics_alone() -> None:
    model = small_detr("detr-r50").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    regulariser(model)()
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_quantizers_is_refused() -> None:
    with pytest.raises(BenchError, match="no weight of the model is quantized"):
        weights_of(nn.Linear(2, 2))


def test_the_sampler_of_plain_indexing_is_mmcvs() -> None:
    from importlib import import_module

    theirs = import_module("mmcv.ops.multi_scale_deform_attn").multi_scale_deformable_attn_pytorch
    generator = torch.Generator().manual_seed(2)
    shapes = torch.tensor([[5, 7], [3, 2]])
    value = torch.randn(2, 41, 3, 4, generator=generator, dtype=torch.float64)
    # A third of the places lie outside.
    locations = 1.6 * torch.rand(2, 6, 3, 2, 5, 2, generator=generator, dtype=torch.float64) - 0.3
    weights = torch.rand(2, 6, 3, 2, 5, generator=generator, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    ours, found = deformable_attention(value, shapes, locations, weights), theirs(value, shapes, locations, weights)
    assert torch.allclose(ours, found, atol=1e-12)
    for one, other in zip(*(torch.autograd.grad(y.square().sum(), inputs) for y in (ours, found)), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_grid_sample_would_have_no_second_derivative() -> None:
    """Why the sampler is there; should torch learn it, the sampler can go."""
    model, batch = small_detr("deformable-detr-r50"), scene()
    objective = Objective(model, Group.of(("b",), CLASSES), 0.0)
    single = lambda: objective(batch["inputs"][:1], batch["data_samples"][:1])  # noqa: E731
    trace = fisher_trace([single], weights_of(model))
    with pytest.raises(RuntimeError, match="grid_sampler_2d_backward"):
        trace.backward()
    with differentiable_twice():
        fisher_trace([single], weights_of(model)).backward()
