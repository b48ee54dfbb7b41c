"""DetPTQ and LAPQ on a small network whose loss is known, and the searches by themselves."""

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import NAME, job_of, located, store_record
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.choice import Search, Site
from bench.cli.main import main
from bench.detectors.locations import Locations
from bench.errors import BenchError, UsageError
from bench.methods.detptq import DetPTQ
from bench.methods.lapq import LAPQ, minimum
from bench.quantization.apply import apply
from bench.quantization.placement import place
from bench.quantization.trace import record_reads
from bench.quantization.uniform import UniformQuantizer
from bench.schema.bits import Bits
from bench.schema.load import Located
from bench.schema.placement import Policy

POLICY = Policy(layers=("conv",), first=("a",), last=("c",), parts=("a", "b", "c"), unsigned_after=("relu",))
CANDIDATES = [1.0, 1.5, 2.0, 2.4, 3.0, 4.0, "minmax"]
ODOL = {"kind": "odol", "threshold": 0.2, "background": 1.0}
Data = list[dict[str, Any]]
WEIGHTS = {"kind": "mse", "p": 2.0}


class Detector(nn.Module):
    """Four locations, three classes; what is no detector of mmdet's says itself what its outputs mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 7, 1)

    def data_preprocessor(self, data: dict[str, Any], training: bool) -> dict[str, Any]:
        return data

    def forward(self, inputs: Tensor, samples: list[Any], mode: str = "tensor") -> Any:
        found = self.c(torch.relu(self.b(torch.relu(self.a(inputs)))))
        return found if mode == "tensor" else {"loss_cls": found.square().mean(), "acc": found.mean()}

    def locations(self, outputs: Tensor) -> Locations:
        flat = outputs.flatten(2).transpose(1, 2)
        corner, size = flat[..., 3:5], flat[..., 5:7].exp()
        return Locations(flat[..., :3].sigmoid(), torch.cat([corner, corner + size], dim=-1))


def images(batches: int = 4, seed: int = 0, side: int = 2) -> Data:
    """Two images a batch."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, side, side)
    return [{"inputs": torch.randn(shape, generator=generator), "data_samples": [None] * 2} for _ in range(batches)]


def calibrated(kind: type, data: Data | None = None, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The quantized network and the method's facts."""
    model: Any = Detector()
    data = images() if data is None else data
    method = kind(options)
    reads = record_reads(model, ["a", "b", "c"], lambda: model(data[0]["inputs"], []))
    placement = place(model, reads, POLICY, Bits.parse("3/3"))
    apply(model, placement, method.make_quantizers(placement))
    method.calibrate(model, Batches(model, data))
    facts = json.loads(json.dumps(method.facts(model), allow_nan=False))
    return model, facts


def detptq(search: str = "descent", data: Data | None = None, **more: Any) -> tuple[Any, dict[str, Any]]:
    needed = {"descent": {"accept": 0.005}, "random": {"seed": 1}}.get(search, {})
    options = {"candidates": CANDIDATES, "objective": ODOL, "weights": WEIGHTS, **needed, **more}
    return calibrated(DetPTQ, data, search=search, **options)


@pytest.mark.parametrize("objective", [ODOL, {"kind": "loss"}], ids=lambda o: o["kind"])
@pytest.mark.parametrize("search", ["fixed", "descent", "greedy", "random"])
def test_a_search_finds_the_same_twice_and_says_what_it_chose(search: str, objective: dict[str, Any]) -> None:
    model, facts = detptq(search, objective=objective)
    _, again = detptq(search, objective=objective)
    assert facts == again
    assert facts["order"] == list(facts["choice"]) == ["a.input", "b.input", "c.input"]
    assert set(facts["choice"].values()) <= {"1", "1.5", "2", "2.4", "3", "4", "minmax"}
    assert facts["held_out"]["chosen"] >= 0 and facts["passes"] >= 1
    assert "forward" not in model.a.__dict__


def test_what_the_facts_say_is_what_the_model_has() -> None:
    """The step of each quantizer is that of its p, and the loss that is reported that of the model as it is left."""
    model, facts = detptq()
    ends = facts["fixed"]
    start = min(ends, key=ends.__getitem__)
    for name, chosen in facts["choice"].items():
        alone, _ = detptq("fixed", candidates=[float(chosen) if chosen != "minmax" else chosen])
        key = name.replace(".", "/")
        assert torch.equal(model.quantizers[key].step, alone.quantizers[key].step)
    assert facts["curve"][0] == pytest.approx(ends[start], rel=1e-12)
    assert len(facts["curve"]) == 1 + len(facts["choice"])
    _, same = detptq("fixed", candidates=[float(start) if start != "minmax" else start])
    assert same["fixed"][start] == pytest.approx(ends[start], rel=1e-12)
    assert same["held_out"]["chosen"] == pytest.approx(facts["held_out"]["fixed"], rel=1e-12)


@pytest.mark.parametrize("first", [None, 0.25])
@pytest.mark.parametrize("seed", range(5))
def test_descent_never_rises_on_the_half_that_chooses(seed: int, first: float | None) -> None:
    more = {} if first is None else {"first_share": first}
    _, facts = detptq(data=images(8, seed), **more)
    curve = facts["curve"]
    assert curve[0] == pytest.approx(min(facts["fixed"].values()))
    assert all(after == before or after < 0.995 * before for before, after in pairwise(curve))


def test_successive_halving_costs_less() -> None:
    _, whole = detptq(data=images(16))
    _, halved = detptq(data=images(16), first_share=0.125)
    _, start = detptq("fixed", data=images(16))
    assert halved["passes"] - start["passes"] < 0.6 * (whole["passes"] - start["passes"])


def test_weights_are_searched_where_no_observer_is_declared_for_them() -> None:
    _, facts = calibrated(
        DetPTQ, search="descent", accept=0.0, candidates=CANDIDATES, objective=ODOL, granularity="channel"
    )
    assert list(facts["choice"]) == ["a.weight", "b.weight", "c.weight", "a.input", "b.input", "c.input"]


def test_an_offset_is_searched_with_its_step() -> None:
    data = images()
    for batch in data:
        batch["inputs"] = batch["inputs"].exp() - 0.2
    model, _ = detptq(data=data, offset="activations")
    quantizer = model.quantizers["a/input"]
    assert quantizer.scheme == "uniform, asymmetric" and int(quantizer.zero) > 0
    assert int(quantizer.zero) * float(quantizer.step) < 1.0


def test_a_planted_outlier_is_clipped() -> None:
    """One value of 200 times the others' size: the whole range leaves these three codes of 8 bits."""
    data = images(8, side=16)
    data[0]["inputs"][0, 0, 0, 0] = 200.0
    model, facts = detptq("descent", data)
    assert facts["choice"]["a.input"] in ("1", "1.5")
    assert float(model.quantizers["a/input"].step) < 0.1 * 200 / 127.5
    assert facts["curve"][-1] < 0.9 * facts["fixed"]["minmax"]


@pytest.mark.parametrize("search", ["fixed", "descent", "greedy", "random"])
def test_images_without_content_are_no_trouble(search: str) -> None:
    constant = [{"inputs": torch.full((1, 3, 2, 2), 0.5), "data_samples": [None]}] * 2
    empty = [{"inputs": torch.zeros(1, 3, 2, 2), "data_samples": [None]}] * 2
    for data in (constant, empty, images(2)):
        model, facts = detptq(search, data, objective={**ODOL, "threshold": 0.99})
        assert all(math.isfinite(loss) for loss in facts["curve"])
        assert all(bool(torch.isfinite(q.step).all()) for q in model.quantizers.values())
    with pytest.raises(BenchError, match="at least two batches"):
        detptq(search, images(1))


def test_outputs_that_are_no_numbers_are_refused() -> None:
    class Broken(Detector):
        def locations(self, outputs: Tensor) -> Locations:
            found = super().locations(outputs)
            return found._replace(scores=found.scores / (outputs.abs().amax() > 1e9).float())

    model: Any = Broken()
    data = images()
    method = DetPTQ({"candidates": [2.0], "objective": ODOL, "weights": WEIGHTS, "search": "fixed"})
    reads = record_reads(model, ["a", "b", "c"], lambda: model(data[0]["inputs"], []))
    placement = place(model, reads, POLICY, Bits.parse("3/3"))
    apply(model, placement, method.make_quantizers(placement))
    with pytest.raises(BenchError, match="not finite"):
        method.calibrate(model, Batches(model, data))


class Table:
    """Quantizers whose loss is a table: no network."""

    def __init__(self, losses: dict[str, list[float]], batches: int = 4) -> None:
        self.losses, self.batches, self.calls = losses, list(range(batches)), 0
        self.sites = {}
        for name, row in losses.items():
            states = [{"step": torch.tensor(float(k))} for k in range(len(row))]
            self.sites[name] = Site(UniformQuantizer(4, True, None), states)  # type: ignore[arg-type]

    def loss(self, batch: int, keep: bool) -> float:
        self.calls += 1
        return sum(
            self.losses[name][int(site.quantizer.step)] if site.quantizer.mode == "quantize" else 0.0
            for name, site in self.sites.items()
        )


LOSSES = {"x": [4.0, 1.0, 2.0], "y": [3.0, 3.0, 2.999], "z": [1.0, 5.0, 9.0]}


def test_descent_takes_what_lowers_the_loss_by_the_declared_share_and_no_more() -> None:
    table = Table(LOSSES)
    search = Search(table.sites, table.loss, table.batches, 4)
    assert search.fixed(range(3)) == {0: 32.0, 1: 36.0, 2: pytest.approx(4 * 13.999)}
    found = search.descent(0, 0.005)
    assert found.choices == {"x": 1, "y": 0, "z": 0}
    assert found.curve == [32.0, 20.0, 20.0, 20.0]
    assert [int(site.quantizer.step) for site in table.sites.values()] == [1, 0, 0]


def test_greedy_takes_the_best_of_each_site_in_order() -> None:
    table = Table(LOSSES)
    found = Search(table.sites, table.loss, table.batches, 1).greedy()
    assert found.choices == {"x": 1, "y": 2, "z": 0}
    assert found.curve == [0.0, 4.0, pytest.approx(4 * 3.999), pytest.approx(4 * 4.999)]


def test_random_choices_hang_on_their_seed_alone() -> None:
    draws = [Search(Table(LOSSES).sites, Table(LOSSES).loss, [0], 1).random(seed).choices for seed in (1, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(draw.values()) for draw in draws}) > 1


def test_the_vertex_of_a_parabola() -> None:
    p = np.linspace(2, 4, 10).tolist()
    assert minimum(p, [7 + 3 * (x - 2.7) ** 2 for x in p]) == (pytest.approx(2.7), True)
    assert minimum(p, [7 - (x - 2.7) ** 2 for x in p]) == (4.0, False)
    assert minimum(p, [(x - 1.0) ** 2 for x in p]) == (2.0, False)


def test_lapq_takes_the_vertex_and_powell_does_not_lose_by_it() -> None:
    options = {"lowest": 1.0, "highest": 4.0, "samples": 7, "objective": ODOL, "weights": WEIGHTS}
    _, facts = calibrated(LAPQ, **options)
    assert len(facts["samples"]) == 7 and 1.0 <= facts["p"] <= 4.0
    found = minimum(*zip(*facts["samples"], strict=True))
    assert (found.at, found.fitted) == (facts["p"], facts["vertex"])
    model, better = calibrated(LAPQ, **options, powell={"iterations": 1, "evaluations": 40})
    assert better["powell"]["loss"] <= facts["loss"]
    assert all(float(q.step.min()) > 0 for q in model.quantizers.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": "descent"}, "needs `accept`"),
        ({"search": "fixed", "seed": 1}, "has no `seed`"),
        ({"search": "fixed", "first_share": 0.5}, "has no `first_share`"),
        ({"search": "fixed", "candidates": [2.0, 2.0]}, "stands twice"),
        ({"search": "fixed", "objective": {"kind": "odol"}}, "needs `threshold`"),
        ({"search": "fixed", "objective": {"kind": "loss", "background": 1.0}}, "has no `background`"),
    ],
)
def test_options_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DetPTQ({"candidates": CANDIDATES, "objective": ODOL, "weights": WEIGHTS, **change})


def choices(suite: Located, *more: str) -> int:
    return main(["--root", str(suite.root), "choices", f"{NAME}:lsq", f"{NAME}:lsq:0", *more])


def test_what_was_chosen_is_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = located(tmp_path)
    _, facts = detptq()
    store_record(suite, job_of(suite, "lsq"), facts={"detptq": facts})
    assert choices(suite, "--plots", str(tmp_path / "plots")) == 0
    head, _, line, *_, file = capsys.readouterr().out.strip().splitlines()
    counts = Counter(facts["choice"].values())
    assert all(f"{n} x {name}" in line for name, n in counts.items())
    assert f"{facts['curve'][-1]:.4g}" in line and f"{facts['held_out']['chosen']:.4g}" in line
    assert "held out" in head and Path(file).read_bytes()[:4] == b"\x89PNG"
    assert choices(suite, "--json") == 0
    told = json.loads(capsys.readouterr().out)["records"]
    assert [one["choice"] for one in told] == [facts["choice"]] * 2


@pytest.mark.parametrize("search", ["random", "greedy", "fixed"])
def test_a_search_without_a_start_or_a_curve_is_printed_and_drawn_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], search: str
) -> None:
    suite = located(tmp_path)
    store_record(suite, job_of(suite, "lsq"), facts={"detptq": detptq(search)[1]})
    assert choices(suite, "--plots", str(tmp_path)) == 0
    assert "choices.png" in capsys.readouterr().out


def test_a_row_that_does_not_search_has_no_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = located(tmp_path)
    store_record(suite, job_of(suite, "lsq"))
    assert choices(suite) == 2
    assert "no method detptq" in capsys.readouterr().err
