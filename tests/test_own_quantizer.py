"""Quantizers from outside: what docs/own-quantizer.md says is run as it stands there, and computes what papers say."""

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from conftest import PROJECT, bench
from torch import Tensor, nn

from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.methods.stack import MethodStack
from bench.quantization.apply import apply
from bench.quantization.placement import ActivationSite, Placement, WeightSite
from bench.records.record import Record
from bench.records.store import Store

PAGE = (PROJECT / "docs" / "own-quantizer.md").read_text(encoding="utf-8")
FILES = ("my_quantizers.py", "suites/mine/quantizers.yaml")
LSQ_OPTIONS = {
    "range_test": "paper",
    "grad_scale": "batch",
    "weights": {"kind": "minmax"},
    "activations": {"kind": "minmax"},
}


def block(name: str) -> str:
    found = re.search(rf"<!-- tutorial: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found.group(1)


def write(root: Path) -> Path:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(block(name), encoding="utf-8")
    return root


def test_the_tutorial_runs(tmp_path: Path) -> None:
    root = write(tmp_path)
    outputs = [bench(root, *shlex.split(line)[1:]).stdout for line in block("commands").splitlines()]
    assert "4 jobs: 4 executed" in outputs[0]
    assert 'scheme: "uniform, asymmetric"' in outputs[1] and "operations: [" in outputs[1]
    assert "PACT" in outputs[2] and "LSQ+" in outputs[2] and "failed" not in outputs[2]
    rows = {record.provenance.asked.row: record for record in Store(root).records()}
    assert len({record.predictions.digest for record in rows.values()}) == 4
    alphas = rows["pact"].facts["my_quantizers:PACT"]["alpha"]
    assert len(alphas) == 36 and all(alpha > 0 for alpha in alphas.values())
    # Of 32 weights half have 8 bits at least; the three at the edges have them in any case.
    assert wide_weights(rows["lsq-plus"]) == 3 and 16 <= wide_weights(rows["half"]) <= 19


def wide_weights(record: Record) -> int:
    return sum(".weight " in site and site.endswith(" int8") for site in record.placement_sites)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's module."""
    monkeypatch.syspath_prepend(str(write(tmp_path)))
    sys.modules.pop("my_quantizers", None)
    yield importlib.import_module("my_quantizers")
    del sys.modules["my_quantizers"]


@pytest.mark.parametrize(("signed", "codes"), [(False, 15), (True, 7)])
def test_pact_is_its_papers_equations(signed: bool, codes: int, mine: ModuleType) -> None:
    quantizer = mine.PactActivation(4, signed, None)
    quantizer.alpha.data.fill_(3.0)
    x = torch.linspace(-4.95, 4.95, 100, requires_grad=True)
    low = -3.0 if signed else 0.0
    quantized = quantizer(x)
    assert torch.allclose(quantized, torch.round(x.clamp(low, 3.0) * codes / 3.0) * 3.0 / codes)
    quantized.sum().backward()
    assert float(quantizer.alpha.grad) == 20 - (20 if signed else 0)  # 20 values lie beyond each end
    assert x.grad is not None
    assert torch.equal(x.grad, ((x > low) & (x < 3)).float())


def test_dorefa_has_all_codes_and_both_ends(mine: ModuleType) -> None:
    w = torch.linspace(-2, 2, 1001)
    values = torch.unique(mine.DorefaWeight(2, True)(w))
    assert torch.allclose(values, torch.tensor([-2.0, -2 / 3, 2 / 3, 2.0]))


def test_lsq_plus_covers_a_range_with_an_offset(mine: ModuleType) -> None:
    observer = mine.make_observer(mine.Observer(kind="minmax"), 2, False)
    quantizer = mine.LsqPlusActivation(2, observer)
    x = torch.linspace(-0.3, 5.7, 601)
    observer.observe(x)
    quantizer.initialise()
    assert torch.allclose(torch.unique(quantizer(x)), torch.tensor([-0.3, 1.7, 3.7, 5.7]), atol=1e-5)
    # Outside the range the offset has slope 1, inside 0; the step's slope outside is its code.
    y = torch.tensor([-1.0, 2.0, 9.0])
    quantizer(y).sum().backward()
    g = (3 * 3) ** -0.5
    assert float(quantizer.offset.grad) == pytest.approx(2 * g, rel=1e-4)
    inside = round((2.0 + 0.3) / 2) - (2.0 + 0.3) / 2
    assert float(quantizer.step.grad) == pytest.approx((0 + inside + 3) * g, rel=1e-4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


PLACEMENT = Placement(
    (WeightSite("conv.weight", "conv", 4, True, (3, 3, 1, 1)),),
    (ActivationSite("conv.input", (("conv", 0),), "relu", 4, True, (1, 3, 4, 4)),),
    (),
)


def put(method: Any, change: Any = lambda quantizers: quantizers) -> None:
    apply(Net(), PLACEMENT, change(MethodStack([("mine", method)]).make_quantizers(PLACEMENT)))


def test_other_bits_or_another_sign_than_the_sites_are_refused(mine: ModuleType) -> None:
    pact = mine.PACT({"decay": 0.0, "activations": {"kind": "minmax"}})
    put(pact)
    put(mine.LsqPlus(LSQ_OPTIONS))  # its activations have codes without sign, and an offset
    wide, plain = mine.DorefaWeight(8, True), mine.PactActivation(4, False, None)
    message = "conv.weight: the method's DorefaWeight is int8, the site is int4"
    assert message.removeprefix("conv") in PAGE
    with pytest.raises(BenchError, match=message):
        put(pact, lambda made: {**made, "conv.weight": wide})
    with pytest.raises(BenchError, match="PactActivation is uint4, the site is int4"):
        put(pact, lambda made: {**made, "conv.input": plain})


def test_a_site_without_a_quantizer_is_refused() -> None:
    class Half(LSQ):
        def make_quantizers(self, placement: Placement) -> Any:
            return {name: q for name, q in super().make_quantizers(placement).items() if name != "conv.input"}

    with pytest.raises(BenchError, match=r"1 quantizers are missing or no site's, first conv\.input"):
        put(Half(LSQ_OPTIONS))
