"""A user's own quantizing methods: what outside code may do with quantizers, calibration and regularisers."""

import torch
from torch import nn
from torch.nn import functional as F

from bench.calibration.calibrate import calibrate
from bench.calibration.observers import make_observer
from bench.methods.lsq import LSQ
from bench.quantization.apply import quantized_layers
from bench.quantization.quantizer import Quantizer
from bench.schema.options.observer import Observer

MINMAX = Observer(kind="minmax")


class RoundSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, g):
        return g


class PactActivation(Quantizer):
    """PACT (1805.06085): clip to a learned alpha; a tensor with sign is clipped on both sides."""

    def __init__(self, bits, signed):
        super().__init__(bits, signed, make_observer(MINMAX, bits, signed))
        self.alpha = nn.Parameter(torch.ones(()))

    def quantize(self, x):
        a = self.alpha.abs()
        low = -a if self.signed else torch.zeros_like(a)
        y = torch.minimum(torch.maximum(x, low), a)
        s = a / self.qmax
        return RoundSTE.apply(y / s) * s

    def initialise(self):
        with torch.no_grad():
            self.alpha.copy_(self.observed.threshold())


class DorefaWeight(Quantizer):
    """DoReFa's tanh map (1606.06160): it needs no data, so no observer."""

    def __init__(self, bits):
        super().__init__(bits, True)

    def quantize(self, w):
        t = torch.tanh(w)
        t = t / t.abs().max()
        n = 2 ** (self.bits - 1) - 1
        return RoundSTE.apply(t * n) / n * w.detach().abs().max()

    def initialise(self):
        pass


class PACT:
    version = 1

    def __init__(self, options):
        self.decay = options.pop("decay")  # the dict is the method's own

    def make_quantizers(self, placement):
        w = {s.name: DorefaWeight(s.bits) for s in placement.weights}
        return {**w, **{s.name: PactActivation(s.bits, s.signed) for s in placement.activations}}

    def calibrate(self, model, batches):
        calibrate(model, batches)

    def regulariser(self, model, batch):
        return self.decay * sum(p.square() for n, p in model.named_parameters() if n.endswith(".alpha"))

    def facts(self, model):
        return {"alpha": {n: float(p) for n, p in model.named_parameters() if n.endswith(".alpha")}}


class LsqPlusQuantizer(Quantizer):
    """LSQ+ (2004.09576): step and offset both learned, so the grid needs no sign."""

    scheme = "uniform, asymmetric"

    def __init__(self, bits):
        super().__init__(bits, False, make_observer(MINMAX, bits, False))
        self.step, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def quantize(self, x):
        v = ((x - self.offset) / self.step).clamp(self.qmin, self.qmax)
        return RoundSTE.apply(v) * self.step + self.offset

    @torch.no_grad()
    def initialise(self):
        low, high = self.observed.low, self.observed.high
        self.step.copy_((high - low).clamp_min(1e-6) / self.qmax)
        self.offset.copy_(low)


class LsqPlus(LSQ):
    version = 1

    def make_quantizers(self, placement):
        own = super().make_quantizers(placement)
        return {**own, **{s.name: LsqPlusQuantizer(s.bits) for s in placement.activations}}


class ChannelActivation(Quantizer):
    """One step a channel of an activation [n, c, h, w]."""

    def __init__(self, bits, signed):
        super().__init__(bits, signed)
        self.step = nn.Parameter(torch.ones(1, 1, 1, 1))
        self.seen = None

    def forward(self, x):
        if self.mode == "observe":
            top = x.abs().amax(dim=[d for d in range(x.dim()) if d != 1], keepdim=True)
            self.seen = top if self.seen is None else torch.maximum(self.seen, top)
            return x
        return super().forward(x)

    def quantize(self, x):
        return RoundSTE.apply((x / self.step).clamp(self.qmin, self.qmax)) * self.step

    def initialise(self):
        self.step = nn.Parameter((self.seen / self.qmax).clamp_min(1e-6))


class PerChannelActivations(LSQ):
    version = 1

    def make_quantizers(self, placement):
        own = super().make_quantizers(placement)
        return {**own, **{s.name: ChannelActivation(s.bits, s.signed) for s in placement.activations}}


class EightBits(LSQ):
    """Makes 8-bit quantizers whatever the row says."""

    version = 1

    def make_quantizers(self, placement):
        wide = placement._replace(
            weights=tuple(s._replace(bits=8) for s in placement.weights),
            activations=tuple(s._replace(bits=8, signed=True) for s in placement.activations),
        )
        return super().make_quantizers(wide)


class Allocated(LSQ):
    """The honest way to other bits: the weights of the neck at 6."""

    version = 1

    def allocate(self, model, placement, batches):
        losses = [sum(sum(v) if isinstance(v, list) else v for v in batch("loss").values()) for batch in batches]
        assert all(torch.isfinite(loss) for loss in losses)
        return {s.name: 6 for s in placement.weights if s.name.startswith("neck.")}

    def facts(self, model):
        return {"bits": sorted({q.bits for q in model.quantizers.values()})}


class Distil(LSQ):
    """Adds a term on the FPN's features, as a distillation would."""

    version = 1

    def regulariser(self, model, batch):
        return 1e-4 * sum(f.square().mean() for f in model.extract_feat(batch["inputs"]))


class TwoPasses(LSQ):
    """Wants two passes over the calibration batches: ranges first, then something with them known."""

    version = 1

    def calibrate(self, model, batches):
        calibrate(model, batches)
        if sum(1 for batch in batches if batch() is not None) != len(batches):
            raise RuntimeError("the second pass saw nothing")


class Labels(LSQ):
    """Fisher information of weights from labelled calibration batches."""

    version = 1

    def calibrate(self, model, batches):
        calibrate(model, batches)
        first = next(iter(batches))
        total = sum(sum(v) if isinstance(v, list) else v for k, v in first("loss").items() if "loss" in k)
        total.backward()
        self.fisher = sum(p.grad.square().sum().item() for p in model.parameters() if p.grad is not None)
        self.labels = [sample.gt_instances.labels.tolist() for sample in first.samples]
        model.zero_grad()

    def facts(self, model):
        return {"fisher": self.fisher, "labels": self.labels}


class Rounded(Quantizer):
    """AdaRound (2004.10568)."""

    def __init__(self, bits, shape):
        super().__init__(bits, True, make_observer(Observer(kind="mse", p=2.4), bits, True))
        self.register_buffer("step", torch.ones(()))
        self.v = nn.Parameter(torch.zeros(shape), requires_grad=True)
        self.hard = False

    def quantize(self, w):
        h = (torch.sigmoid(self.v) * 1.2 - 0.1).clamp(0, 1)
        h = (h > 0.5).float() if self.hard else h
        return (torch.floor(w / self.step) + h).clamp(self.qmin, self.qmax) * self.step

    @torch.no_grad()
    def initialise(self):
        self.step.copy_(self.observed.step())

    @torch.no_grad()
    def start(self, w):
        rest = w / self.step - torch.floor(w / self.step)
        self.v.copy_(-torch.log(1.2 / (rest + 0.1) - 1))


class AdaRound(LSQ):
    """Layer-wise reconstruction in `calibrate`; the row has no recipe (PTQ)."""

    version = 1

    def __init__(self, options):
        self.steps = options.pop("steps")
        super().__init__(options)

    def make_quantizers(self, placement):
        own = super().make_quantizers(placement)
        return {**own, **{s.name: Rounded(s.bits, s.shape) for s in placement.weights}}

    def calibrate(self, model, batches):
        calibrate(model, batches)
        layers = quantized_layers(model)
        for layer in layers.values():
            layer.held.weight.start(layer.weight)
        quantizers = [m for m in model.modules() if isinstance(m, Quantizer)]
        model.eval()
        self.errors = {}
        for name, layer in layers.items():
            self.errors[name] = self.reconstruct(layer, quantizers, next(iter(batches)))
        model.zero_grad()

    def reconstruct(self, layer, quantizers, batch):
        seen = []
        hook = layer.register_forward_hook(lambda m, a, y: seen.append((a[0].detach(), y.detach())))
        for q in quantizers:
            q.mode = "off"
        with torch.no_grad():
            batch()
        hook.remove()
        for q in quantizers:
            q.mode = "quantize"
        opt, errors = torch.optim.Adam([layer.held.weight.v], lr=1e-2), []
        for _ in range(self.steps):
            loss = 0
            for call, (x, y) in enumerate(seen):
                w = layer.held.weight(layer.weight.detach())
                x = layer.held.inputs[call](x)
                z = F.conv2d(x, w, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
                loss = loss + (z - y).square().mean()
            h = (torch.sigmoid(layer.held.weight.v) * 1.2 - 0.1).clamp(0, 1)
            (loss + 1e-3 * (1 - (2 * h - 1).abs().pow(10)).sum()).backward()
            opt.step()
            opt.zero_grad()
            errors.append(float(loss))
        layer.held.weight.hard = True
        return [errors[0], errors[-1]]

    def facts(self, model):
        return {"errors": self.errors}
