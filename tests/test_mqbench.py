"""The backend `mqbench`: MQBench's own classes, live, against the native quantizers in the same placement."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, SUITE, bench, edited
from detector_scales import drawn_batch, losses, settle
from torch import Tensor

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.detectors.checkpoint import load_weights, save_weights
from bench.engine.place import trace_placement
from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.methods.tqt import TqtFixed
from bench.quantization.apply import apply
from bench.quantization.mqbench_import import load_mqbench
from bench.quantization.trace import tensors
from bench.records.store import Store
from bench.schema.bits import Bits
from bench.schema.load import load_suite
from bench.schema.methods import options_model

# mmdet's and MQBench's own.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]
live = pytest.mark.skipif(
    importlib.util.find_spec("mqbench") is None, reason="MQBench is not installed (extra qdet-bench[mqbench])"
)

TABLE = load_suite(SUITE, PROJECT).suite
LSQ_OPTIONS = TABLE.row("lsq-w4a4").methods[0].options
TQT_OPTIONS = TABLE.row("tqt-fixed-w4a4").methods[0].options


def quantized(method: Any, bits: str, readers: str = "all") -> Any:
    """RetinaNet-R18 at tier smoke, calibrated on three batches.

    Of a seed with which no sum that is a step size's gradient cancels to a thousandth of its terms: what is left would
    be rounding.
    """
    scale = TABLE.tiers["smoke"].detectors["retinanet-r18"]
    model: Any = build_detector("retinanet-r18", scale, ("a", "b", "c"), 5)
    settle(model, drawn_batch(64))
    policy = TABLE.policies["hqod"].model_copy(update={"readers": readers})
    placement = trace_placement(model, drawn_batch(64), policy, Bits.parse(bits))
    apply(model, placement, method.make_quantizers(placement))
    batches = [drawn_batch(64, images) for images in (1, 2, 3)]
    method.calibrate(model, Batches(model, batches))
    return model


def values(model: Any) -> list[tuple[str, Tensor]]:
    """What each call of a quantizer returns in one pass, and then what the model does."""
    found: list[tuple[str, Tensor]] = []
    for name, quantizer in model.quantizers.items():
        quantizer.register_forward_hook(lambda _, __, y, name=name: found.append((name, y.clone())))
    (batch,) = Batches(model.eval(), [drawn_batch(64)])
    with torch.no_grad():
        found += [("output", y) for y in tensors(batch())]
    return found


def scale_of(quantizer: Any) -> Tensor:
    return quantizer.fake.scale if hasattr(quantizer, "fake") else quantizer.step


def compare(ours: Any, theirs: Any) -> None:
    """Step sizes, outputs to the bit, and the gradients of one training step."""
    assert ours.quantizers.keys() == theirs.quantizers.keys()
    for name, own in ours.quantizers.items():
        other = theirs.quantizers[name]
        assert (own.bits, own.signed, own.scheme) == (other.bits, other.signed, other.scheme)
        assert float(scale_of(own)) == pytest.approx(float(scale_of(other).detach()), rel=1e-6), name
        scale_of(other).data.copy_(scale_of(own))
    found = []
    for model in (ours, theirs):
        model.train()
        loss = losses(model, drawn_batch(64))
        loss.backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        other = found[1][1][name]
        assert torch.allclose(gradient.squeeze(), other.squeeze(), rtol=1e-3, atol=1e-5 * float(other.abs().max())), (
            name
        )


@live
@pytest.mark.parametrize("bits", ["4/4", "2/2"])
@pytest.mark.parametrize(
    ("weights", "activations"),
    [
        ({"kind": "minmax"}, {"kind": "ema_mse", "p": 2.0, "ema": 0.9}),
        ({"kind": "lsq"}, {"kind": "ema_minmax", "ema": 0.9}),
        ({"kind": "mse", "p": 2.0}, {"kind": "minmax"}),
    ],
    ids=["hqod", "loose", "mse"],
)
def test_lsq_is_mqbenchs(bits: str, weights: dict[str, Any], activations: dict[str, Any]) -> None:
    options = LSQ_OPTIONS | {"weights": weights, "activations": activations}
    compare(quantized(LSQ(options), bits), quantized(LSQ({**options, "backend": "mqbench"}), bits))


@live
@pytest.mark.parametrize("readers", ["layers", "all"])
def test_every_reader_gets_the_values_of_mqbench(readers: str) -> None:
    """To the bit, in the same order: quantizers of layers, of operations and behind modules."""
    ours, theirs = (quantized(LSQ({**LSQ_OPTIONS, **own}), "4/4", readers) for own in ({}, {"backend": "mqbench"}))
    for name, own in ours.quantizers.items():
        scale_of(theirs.quantizers[name]).data.copy_(scale_of(own))
    found, expected = values(ours), values(theirs)
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert {name for name, _ in found} == {*ours.quantizers, "output"}
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True))
    compare(ours, theirs)


@live
@pytest.mark.parametrize("bits", ["4/4", "2/2"])
def test_tqt_fixed_is_mqbenchs(bits: str) -> None:
    ours = quantized(TqtFixed(TQT_OPTIONS), bits)
    theirs = quantized(TqtFixed({**TQT_OPTIONS, "backend": "mqbench"}), bits)
    compare(ours, theirs)
    assert not any("quantizers" in name for name, _ in theirs.named_parameters() if name.endswith("scale"))


@live
def test_mqbenchs_quantizers_are_saved_loaded_and_named_as_recipes_know_them(tmp_path: Path) -> None:
    method = LSQ({**LSQ_OPTIONS, "backend": "mqbench"})
    model, other = quantized(method, "4/4"), quantized(method, "4/4")
    steps = {n: p for n, p in model.named_parameters() if n.endswith(".step")}
    assert len(steps) == len(model.quantizers) and all(p.requires_grad for p in steps.values())
    with torch.no_grad():
        for step in steps.values():
            step.mul_(1.5)
    load_weights(other, tmp_path / "x.pth", save_weights(model, tmp_path / "x.pth"))
    first, second = (next(iter(Batches(m.eval(), [drawn_batch(64)])))() for m in (model, other))
    assert all(torch.equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


@live
def test_a_row_with_the_backend_runs_and_records_the_version(tmp_path: Path) -> None:
    (tmp_path / "baselines").symlink_to(PROJECT / "baselines")
    file = tmp_path / "suites" / f"{SUITE}.yaml"
    file.parent.mkdir(parents=True)
    shutil.copy(PROJECT / "suites" / f"{SUITE}.yaml", file)
    with edited(file) as suite:
        suite["methods"]["lsq"]["backend"] = "mqbench"
    bench(tmp_path, "run", SUITE, "--tier", "smoke", "--rows", "lsq-w4a4")
    packages = {r.row: r.environment["packages"] for r in map(_Named, Store(tmp_path).records())}
    assert packages["lsq-w4a4"]["mqbench"].startswith("0.0.6") and "mqbench" not in packages["fp"]


class _Named:
    def __init__(self, record: Any) -> None:
        self.row, self.environment = record.provenance.asked_by.split()[1], record.environment


def test_where_it_is_absent_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mqbench.fake_quantize.lsq", None)
    with pytest.raises(BenchError, match=r"install the extra `qdet-bench\[mqbench\]`"):
        load_mqbench.__wrapped__()


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("lsq", {"range_test": "paper"}, "needs `range_test: mqbench`"),
        ("lsq", {"granularity": "channel"}, "one step size for a tensor"),
        ("lsq", {"grad_scale": "feature"}, "not feature"),
        ("lsq", {"weights": {"kind": "std", "stds": 3.0}}, "no observer std of `weights`"),
        ("tqt_fixed", {"image": TQT_OPTIONS["activations"]}, "needs `image: {kind: pot_mode, rounding: activation, "),
        ("tqt", {"weights": {"kind": "minmax"}, "activations": {"kind": "minmax"}}, "backend"),
    ],
)
def test_what_mqbench_does_not_have_is_refused(method: str, changes: dict[str, Any], message: str) -> None:
    base = {"lsq": LSQ_OPTIONS, "tqt_fixed": TQT_OPTIONS, "tqt": {}}[method]
    model = options_model(method)
    assert model is not None
    with pytest.raises(ValueError, match=message):
        model.model_validate_json(json.dumps({**base, **changes, "backend": "mqbench"}))
