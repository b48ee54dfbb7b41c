"""Step sizes per output channel: each channel is a tensor of its own."""

from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE
from torch import Tensor, nn

from bench.errors import UsageError
from bench.methods.lsq import LSQ
from bench.methods.tqt import TQT
from bench.methods.uniform import Uniform
from bench.quantization.apply import apply
from bench.quantization.placement import ActivationSite, Placement, WeightSite
from bench.quantization.quantizer import Quantizer
from bench.schema.load import load_suite
from bench.schema.methods import options_model

LSQ_OPTIONS = {"range_test": "mqbench", "grad_scale": "batch"}
OBSERVERS: list[dict[str, Any]] = [
    {"kind": "minmax"},
    {"kind": "lsq"},
    {"kind": "std", "stds": 3.0},
    {"kind": "percentile", "q": 99.0},
    {"kind": "pot_mode", "rounding": "weight", "exponents": 5},
]
METHODS = {"lsq": (LSQ, LSQ_OPTIONS), "tqt": (TQT, {}), "uniform": (Uniform, {})}


def weight() -> Tensor:
    """[6, 3, 3, 3], its channels of very different scale."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 3, 3, generator=generator) * 10.0 ** torch.arange(-3, 3).view(6, 1, 1, 1)


def quantizer(name: str, observer: dict[str, Any], shape: tuple[int, ...], granularity: str | None) -> Quantizer:
    kind, options = METHODS[name]
    chosen = {} if granularity is None else {"granularity": granularity}
    site = WeightSite("w", "conv", 4, True, shape)
    method = kind({**options, "weights": observer, "activations": observer, **chosen})
    return method.make_quantizers(Placement((site,), (), ()))["w"]


def calibrated(name: str, observer: dict[str, Any], w: Tensor, granularity: str | None) -> Quantizer:
    made = quantizer(name, observer, tuple(w.shape), granularity)
    made.observer.observe(w)
    made.initialise()
    return made


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda o: o["kind"])
@pytest.mark.parametrize("name", METHODS)
def test_a_channel_is_quantized_as_if_it_were_alone(name: str, observer: dict[str, Any]) -> None:
    w = weight().requires_grad_()
    together = calibrated(name, observer, w, "channel")
    assert together.step.shape == (6, 1, 1, 1) and together.granularity == "channel"
    out = torch.randn(w.shape, generator=torch.Generator().manual_seed(1))
    y = together(w)
    y.backward(out)
    for c in range(6):
        own = w.detach()[c : c + 1].clone().requires_grad_()
        alone = calibrated(name, observer, own, None)
        assert alone.step.shape == () and alone.granularity == "tensor"
        assert float(together.step[c]) == float(alone.step)
        z = alone(own)
        z.backward(out[c : c + 1])
        assert torch.equal(y[c : c + 1], z) and torch.equal(w.grad[c : c + 1], own.grad)
        for mine, theirs in zip(together.parameters(), alone.parameters(), strict=True):
            assert torch.allclose(mine.grad[c].squeeze(), theirs.grad, rtol=1e-5)


def test_channels_of_unlike_scale_survive() -> None:
    w = weight()
    errors = [(calibrated("lsq", {"kind": "minmax"}, w, g)(w) - w).abs().amax((1, 2, 3)) for g in (None, "channel")]
    assert (errors[1] / w.abs().amax((1, 2, 3)) < 0.1).all()
    assert (errors[0][:3] / w.abs().amax((1, 2, 3))[:3] > 0.9).all(), "one step for all: small channels become zero"


def test_it_is_torchs_operator_per_channel() -> None:
    w = weight()
    ours = calibrated("lsq", {"kind": "minmax"}, w, "channel")
    theirs = ours.step.detach().flatten().clone().requires_grad_()
    x1, x2 = w.clone().requires_grad_(), w.clone().requires_grad_()
    g = float((w[0].numel() * 7) ** -0.5)
    y = torch._fake_quantize_learnable_per_channel_affine(x2, theirs, torch.zeros(6), 0, -8, 7, g)
    z = ours(x1)
    out = torch.randn(w.shape, generator=torch.Generator().manual_seed(1))
    y.backward(out)
    z.backward(out)
    assert torch.equal(y, z) and torch.equal(x1.grad, x2.grad)
    assert torch.allclose(ours.step.grad.flatten(), theirs.grad, rtol=1e-4)


class _Holder(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 6, 3), nn.Linear(5, 4)], ids=["conv", "linear"])
def test_layers_train_with_a_step_per_channel(layer: nn.Module) -> None:
    model = _Holder(layer)
    shape = tuple(layer.weight.shape)  # type: ignore[union-attr,arg-type]
    observer = {"kind": "minmax"}
    placement = Placement(
        (WeightSite("layer.weight", "layer", 4, True, shape),),
        (ActivationSite("layer.input", (("layer", 0),), "input", 4, True),),
        (),
    )
    method = LSQ({**LSQ_OPTIONS, "weights": observer, "activations": observer, "granularity": "channel"})
    apply(model, placement, method.make_quantizers(placement))
    x = torch.randn(2, 3, 8, 8) if len(shape) == 4 else torch.randn(2, 5)
    method.calibrate(model, [lambda: model(x)])
    model(x).square().sum().backward()
    quantizers = model.quantizers
    assert quantizers["layer/weight"].step.shape == (shape[0], *(1 for _ in shape[1:]))
    assert quantizers["layer/weight"].step.grad.abs().gt(0).sum() > 1 and quantizers["layer/input"].step.shape == ()


def test_what_is_declared_alone_stands_in_the_options() -> None:
    """So that suites written before keep their identities."""
    declared = load_suite(SUITE, PROJECT).suite.row("lsq-w4a4").methods[0].options
    model = options_model("lsq")
    assert model is not None and model.model_validate(declared).granularity is None  # type: ignore[attr-defined]
    assert "granularity" not in declared
    with pytest.raises((UsageError, ValueError), match="granularity"):
        model.model_validate({**declared, "granularity": "group"})
