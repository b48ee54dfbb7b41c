"""MQBench's own quantizers and observers (ModelTC/MQBench 00f477d) in this project's placement: `backend: mqbench`.

They show what MQBench computes, and so HQOD. Known of them: on a GPU each of their calls waits for the device twice, to
read two flags; `TqtFakeQuantize` has no gradient of its threshold, which therefore is never trained; unsigned ranges
after ReLU are not MQBench's but VP-QOD's (27f69e85), whose formula of the step they take here; a signed tensor that is
zero throughout calibration keeps MQBench's smallest step, from which it cannot come alive.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from bench.quantization.mqbench_import import load_mqbench
from bench.quantization.placement import Placement
from bench.quantization.quantizer import Quantizer
from bench.quantization.ranges import integer_range, step_of_range
from bench.schema.options.observer import Observer
from bench.schema.options.training import LsqOptions, TqtFixedOptions

Role = Literal["param", "tensor", "input"]
"""MQBench's words for a weight, an activation and the model's input."""

OBSERVERS = {
    "minmax": "MinMaxObserver",
    "ema_minmax": "EMAMinMaxObserver",
    "mse": "MSEObserver",
    "ema_mse": "EMAMSEObserver",
    "lsq": "LSQObserver",
    "pot_mode": "PoTModeObserver",
}


class MqbenchQuantizer(Quantizer):
    """A fake quantizer of MQBench, which holds its observer and its step size itself."""

    packages = ("mqbench",)

    def __init__(self, fake: Any, bits: int, signed: bool) -> None:
        super().__init__(bits, signed, _Calibration(fake))
        self.fake = fake

    def quantize(self, x: Tensor) -> Tensor:
        """Tensor of x's shape."""
        # MQBench divides by the number of entries.
        y: Tensor = self.fake(x) if x.numel() else x
        return y

    def initialise(self) -> None:
        """Each observed batch has set the step size already."""
        self.fake.disable_observer()
        self.fake.enable_fake_quant()


class MqbenchLsq(MqbenchQuantizer):
    """LearnableFakeQuantize; its scale is called `step`, as recipes know the native one."""

    def __init__(self, fake: Any, bits: int, signed: bool) -> None:
        super().__init__(fake, bits, signed)
        self.step = fake.scale
        # One registered name: an optimizer must not see the parameter twice.
        del fake.scale
        fake.__dict__["scale"] = self.step
        # It is set to zero before each call, and VP-QOD has a buffer: a gradient would count in the clipped norm.
        fake.zero_point.requires_grad_(False)


class MqbenchTqt(MqbenchQuantizer):
    """TqtFakeQuantize, its scale a buffer."""

    scheme = "uniform, symmetric, power of two"


class _Calibration:
    """Feeds MQBench's observer through its quantizer, as MQBench's calibration does."""

    def __init__(self, fake: Any) -> None:
        self.fake = fake

    def observe(self, x: Tensor) -> None:
        if x.numel() == 0:
            return
        self.fake.enable_observer()
        self.fake.disable_fake_quant()
        self.fake(x)

    def step(self) -> Tensor:
        """The step size that MQBench keeps itself."""
        step: Tensor = self.fake.scale
        return step

    def threshold(self) -> Tensor:
        """The end of the range that it covers."""
        codes: int = self.fake.quant_max + 1
        return self.step() * codes


def lsq_quantizers(placement: Placement, options: LsqOptions) -> dict[str, Quantizer]:
    """A LearnableFakeQuantize for each site."""
    kind = load_mqbench().lsq.LearnableFakeQuantize

    def make(site: Any, observer: Observer) -> Quantizer:
        fake = kind(use_grad_scaling=options.grad_scale == "batch", **_declared(site, observer))
        return MqbenchLsq(fake, site.bits, site.signed)

    weights = {site.name: make(site, options.weights) for site in placement.weights}
    return {**weights, **{site.name: make(site, options.activations) for site in placement.activations}}


def tqt_quantizers(placement: Placement, options: TqtFixedOptions) -> dict[str, Quantizer]:
    """A TqtFakeQuantize for each site."""
    kind = load_mqbench().tqt.TqtFakeQuantize

    def make(site: Any, observer: Observer, role: Role) -> Quantizer:
        fake = kind(**_declared(site, observer))
        fake.set_quant_type(role)
        return MqbenchTqt(fake, site.bits, site.signed)

    quantizers = {site.name: make(site, options.weights, "param") for site in placement.weights}
    for site in placement.activations:
        image = site.producer == "input"
        chosen = options.image if image else options.activations
        quantizers[site.name] = make(site, chosen, "input" if image else "tensor")
    return quantizers


def _declared(site: Any, observer: Observer) -> dict[str, Any]:
    qmin, qmax = integer_range(site.bits, site.signed)
    own = {"p": observer.p, "ema_ratio": observer.ema}
    return {
        "observer": _observer(observer.kind, site.signed),
        "dtype": torch.qint8 if site.signed else torch.quint8,
        "qscheme": torch.per_tensor_symmetric,
        "quant_min": qmin,
        "quant_max": qmax,
        **{name: value for name, value in own.items() if value is not None},
    }


def _observer(kind: str, signed: bool) -> Any:
    theirs = getattr(load_mqbench().observer, OBSERVERS[kind])
    if signed or kind == "lsq":
        return theirs

    def forward(self: Any, x: Tensor) -> Tensor:
        seen: Tensor = theirs.forward(self, x)
        # PoTModeObserver divides this by quant_min, which is 0: the quotient must lose against that of the other end.
        self.min_val = -torch.ones_like(self.min_val)
        return seen

    def qparams(self: Any, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        step = step_of_range(low, high, self.quant_min, self.quant_max, signed=False)
        return step, torch.zeros_like(step, dtype=torch.int)

    changed = {"forward": forward} if kind == "pot_mode" else {"_calculate_qparams": qparams}
    return type(f"Unsigned{theirs.__name__}", (theirs,), changed)
