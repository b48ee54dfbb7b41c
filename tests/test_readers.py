"""`readers: all`: who reads a quantized tensor is who reads it in VP-QOD, and every reader gets values on the grid."""

import copy
import json
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch, losses, settle
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.engine.place import trace_placement
from bench.methods.lsq import LSQ
from bench.quantization import kernels, trace
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.placement import ActivationSite, Placement
from bench.run.inspect import empty_batch
from bench.schema.bits import Bits
from bench.schema.catalog import CATALOG
from bench.schema.load import load_suite

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

FACTS = json.loads((Path(__file__).parent / "vpqod_readers.json").read_text(encoding="utf-8"))
"""What the graph surgery of VP-QOD (27f69e85) makes of the five detectors at the scales of three tiers."""
TABLE = load_suite("hqod/table2", PROJECT).suite
QUANTIZED = load_suite("detectors/quantized", PROJECT).suite
CASES = [(tier, name) for tier in ("smoke", "mini", "paper") for name in FACTS[tier]]
SIDE = 64


def placed(name: str, tier: str) -> tuple[Placement, int]:
    scale = TABLE.tiers[tier].detectors[name]  # type: ignore[index]
    if scale.init.kind != "scratch":
        scale = scale.model_copy(update={"init": scale.init.model_copy(update={"kind": "scratch", "file": None})})
    policy = next(TABLE.policies[row.policy] for row in TABLE.rows if row.detector == name and row.policy)
    assert policy.readers == "all"
    model = build_detector(name, scale, tuple(map(str, range(20))), 0)
    return trace_placement(model, empty_batch(*scale.input.size), policy, Bits.parse("4/4")), policy.edge_bits


def line(site: ActivationSite, edge: int) -> str:
    """As the committed list has it."""
    readers = [f"{module}#{call}" for module, call in site.readers] + [str(operand) for operand in site.operands]
    role, sign = "edge" if site.bits == edge else "inner", "signed" if site.signed else "unsigned"
    return f"{role} {sign} {site.tensor} -> {' '.join(sorted(readers))}"


@pytest.mark.parametrize(("tier", "name"), [case for case in CASES if case[0] != "paper"])
def test_tensors_signs_bits_and_readers_are_vpqods(tier: str, name: str) -> None:
    expected = FACTS[tier][name]
    placement, edge = placed(name, tier)
    assert sorted(line(site, edge) for site in placement.activations) == sorted(expected["activations"])
    assert sorted(s.module for s in placement.weights if s.bits == edge) == sorted(expected["edge_weights"])
    assert placement.pins(edge).model_dump() == expected["counts"]


@pytest.mark.long
@pytest.mark.parametrize(("tier", "name"), [case for case in CASES if case[0] == "paper"])
def test_at_full_size_too(tier: str, name: str) -> None:
    test_tensors_signs_bits_and_readers_are_vpqods(tier, name)


def quantized(name: str, readers: str) -> tuple[Any, Placement]:
    row = QUANTIZED.row(f"{name}-lsq-w4a4")
    policy = QUANTIZED.policies[row.policy or ""].model_copy(update={"readers": readers})
    model: Any = build_detector(name, QUANTIZED.tiers["smoke"].detectors[name], ("a", "b", "c"), 0)
    settle(model, drawn_batch(SIDE))
    placement = trace_placement(model, drawn_batch(SIDE), policy, Bits.parse("4/4"))
    method = LSQ(row.methods[0].options)
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, Batches(model, [drawn_batch(SIDE)]))
    return model.eval(), placement


class Values(trace._Recording):
    """Keeps what each operation was given."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.given: dict[str, Tensor] = {}

    def operated(self, operation: str, operands: list[Tensor], keys: Any, result: Any) -> None:
        if self.running and list(trace.tensors(result)):
            module, (own, _) = self.running[-1], self.operations[-1]
            # Of a layer the number of its call, which a shared one has several of.
            call = self.entered[module] - 1
            nth, at = (call, "") if operation in ("conv2d", "linear") else (own[operation], f"#{call}" if call else "")
            for position, operand in enumerate(operands):
                self.given[f"{operation}#{nth}@{module}{at}[{position}]"] = operand.detach().clone()
        super().operated(operation, operands, keys, result)


def given(model: nn.Module, forward: Any) -> dict[str, Tensor]:
    """What each operation of one pass was given, the products of layers among them (`conv2d#0@backbone.conv1[0]`)."""
    leaves = frozenset(n for n, m in model.named_modules() if next(m.children(), None) is None)
    recording = Values((), leaves)
    # A quantized convolution hides its own operations from whoever records; here they are what is wanted.
    open_conv = patch("bench.quantization.conv.DisableTorchFunction", nullcontext)
    with torch.no_grad(), open_conv, trace._noticed(model, recording), recording.producers:
        forward()
    return recording.given


@pytest.mark.parametrize("name", CATALOG)
def test_every_reader_gets_values_on_the_grid(name: str) -> None:
    model, placement = quantized(name, "all")
    (batch,) = Batches(model, [drawn_batch(SIDE)])
    found = given(model, batch)
    calls: dict[str, int] = defaultdict(int)
    seen = 0
    for site in placement.activations:
        step = model.quantizers[site.name.replace(".", "/")].step
        for reader in (*(f"{kind_of(model, m)}#{c}@{m}[0]" for m, c in site.readers), *map(str, site.operands)):
            codes = found[reader] / step
            assert torch.allclose(codes, codes.round(), atol=1e-3), (site.name, reader)
            assert codes.abs().max() <= 2**site.bits
            calls[reader] += 1
            seen += 1
    assert seen == len(calls) and len(quantized_layers(model)) == len(placement.weights)


def kind_of(model: nn.Module, name: str) -> str:
    return "conv2d" if isinstance(model.get_submodule(name), nn.Conv2d) else "linear"


def test_the_snap_test_can_fail() -> None:
    """With `readers: layers` the residual additions read what no quantizer has touched."""
    model, _ = quantized("retinanet-r18", "layers")
    (batch,) = Batches(model, [drawn_batch(SIDE)])
    values = given(model, batch)["add#0@backbone.layer1.1[1]"]
    assert len(torch.unique(values)) > 16


@pytest.mark.parametrize("name", CATALOG)
def test_it_trains_with_a_gradient_for_every_step_size(name: str) -> None:
    model, placement = quantized(name, "all")
    model.train()
    losses(model, drawn_batch(SIDE)).backward()
    found = {n: p.grad for n, p in model.quantizers.named_parameters()}
    assert len(found) == len(placement.sites)
    assert all(grad is None or torch.isfinite(grad).all() for grad in found.values())
    assert sum(grad is not None for grad in found.values()) >= len(found) - 8


@pytest.mark.parametrize("path", ["numba", "eager"])
def test_gradients_can_be_derived_once_more(path: Any) -> None:
    """As a regulariser of gradients asks. Behind the last layer its loss is of second order, so that a difference
    quotient is exact: in front of a quantizer no such test would do, since its gradient is none of its values'."""
    model, _ = quantized("retinanet-r18", "all")
    bias = model.bbox_head.retina_cls.bias
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    trained = [p for n, p in model.named_parameters() if "backbone" in n and p.requires_grad]

    def regulariser() -> Tensor:
        scores = model(images, None, mode="tensor")[0]
        loss = sum((level + level.square()).mean() for level in scores)
        found = torch.autograd.grad(loss, trained, create_graph=True)
        return torch.stack([grad.square().sum() for grad in found]).sum()

    with kernels.using(path):
        regulariser().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
        values = []
        for shift in (0.5, -0.5):
            with torch.no_grad():
                bias += shift
            values.append(float(regulariser()))
            with torch.no_grad():
                bias -= shift
    assert values[0] - values[1] == pytest.approx(float(bias.grad.sum()), rel=1e-4, abs=0)


def test_a_copy_has_its_own_taps_and_features_alone_see_them() -> None:
    model, _ = quantized("retinanet-r18", "all")
    data = model.data_preprocessor(drawn_batch(SIDE), False)
    with torch.no_grad():
        whole = model.extract_feat(data["inputs"])
        twin = copy.deepcopy(model)
        for quantizer in twin.quantizers.values():
            quantizer.mode = "off"
        plain, again = twin.extract_feat(data["inputs"]), model.extract_feat(data["inputs"])
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
    assert not torch.equal(whole[0], plain[0])


def test_two_widths_of_one_tensor_give_operations_the_inner_one() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, 3, 1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.b(y) + self.c(y) + y

    from bench.quantization.placement import place
    from bench.schema.placement import Policy

    model = Net()
    policy = Policy(layers=("conv",), first=("a",), last=("c",), parts=("a", "b", "c"), readers="all")
    recorded = trace.record_reads(model, ["a", "b", "c"], lambda: model(torch.rand(1, 3, 4, 4)))
    placement = place(model, recorded, policy, Bits.parse("4/4"))
    two = {site.name: (site.bits, [str(o) for o in site.operands], site.tap) for site in placement.activations}
    assert two["b.input"] == (4, ["add#1@[1]"], None) and two["c.input"] == (8, [], None)
