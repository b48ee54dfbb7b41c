"""A user's own methods, as outside code writes them (tests/own): each row of one suite does what it should.

The jobs run in this process, one after the other: a worker process would import torch anew for each.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import PROJECT

from bench.errors import BenchError
from bench.plan.jobs import plan
from bench.records.record import Record
from bench.records.store import Store
from bench.schema.load import load_suite

OWN = PROJECT / "tests" / "own"


class Bench:
    """Runs rows of the suite when they are asked for, each once."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root)
        self.jobs = {job.row.id: job for job in plan(load_suite("mine/own", root), "smoke")}

    def record(self, row: str) -> Record:
        from bench.engine.execute import execute
        from bench.run.scheduler import order_of

        job = self.jobs[row]
        folder = self.store.folder(job.identity)
        if (done := folder.record()) is not None:
            return done
        if job.start is not None:
            self.record(job.start.row.id)
        folder.path.mkdir(parents=True, exist_ok=True)
        execute(order_of(job, self.store, ()), folder, lambda *_: None)
        found = folder.record()
        assert found is not None
        return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("own")
    (root / "suites" / "mine").mkdir(parents=True)
    shutil.copy(OWN / "own.yaml", root / "suites" / "mine" / "own.yaml")
    sys.path.insert(0, str(OWN))
    yield Bench(root)
    sys.path.remove(str(OWN))


@pytest.mark.parametrize("row", ["pact", "lsqplus", "channel", "distil", "twice", "fisher"])
def test_it_trains_and_predicts(row: str, own: Bench) -> None:
    record = own.record(row)
    assert record.training is not None and record.training.steps == 4
    assert record.predictions.digest != own.record("fp").predictions.digest


def test_what_a_method_chose_is_in_the_record(own: Bench) -> None:
    alpha = own.record("pact").facts["my_quant:PACT"]["alpha"]
    assert len(alpha) == 69 and all(value > 0 for value in alpha.values())
    labels = own.record("labels").facts["my_quant:Labels"]
    assert labels["fisher"] > 0 and len(labels["labels"]) == 4
    errors = own.record("adaround").facts["my_quant:AdaRound"]["errors"]
    assert len(errors) == 38 and sum(after < before for before, after in errors.values()) > 19


def test_allocated_bits_are_those_of_the_quantizers(own: Bench) -> None:
    record = own.record("allocated")
    assert record.facts["my_quant:Allocated"]["bits"] == [4, 6, 8]
    six = [site for site in record.placement_sites if site.endswith(" int6")]
    assert six and all(site.startswith("neck.") and ".weight " in site for site in six)


def test_quantizers_of_other_bits_than_the_row_are_refused(own: Bench) -> None:
    with pytest.raises(BenchError, match=r"LsqQuantizer is int8, the site is int4"):
        own.record("eight")


def test_the_options_of_a_job_are_not_the_methods_to_change(own: Bench) -> None:
    own.record("pact")
    assert own.jobs["pact"].raw["methods"][0]["options"] == {"decay": 0.0001}


def test_scores_in_training_are_those_of_the_finished_model(own: Bench) -> None:
    record = own.record("finish")
    assert own.record("fp").metrics["AR100"] > 0
    assert [evaluated.metrics["AR100"] for evaluated in record.evaluations] == [0.0, 0.0]
    assert record.metrics["AR100"] == 0.0
    losses = json.loads(own.store.folder(record.identity).losses.read_bytes())
    assert len(set(losses)) == 4, "training went on with the model that was not finished"


def test_a_row_may_start_from_an_untrained_one(own: Bench) -> None:
    ptq, after = own.record("ptq"), own.record("after-ptq")
    assert ptq.training is None and after.start_sha256 == ptq.checkpoint_sha256


@pytest.mark.parametrize(("row", "weights", "activations"), [("wonly", 38, 0), ("aonly", 0, 69)])
def test_one_side_at_32_bits_has_no_quantizers(row: str, weights: int, activations: int, own: Bench) -> None:
    record = own.record(row)
    assert record.placement is not None
    assert (record.placement.weights, record.placement.activations) == (weights, activations)
    assert len(record.placement_sites) == weights + activations
    assert record.predictions.digest != own.record("fp").predictions.digest


def test_batch_norm_may_be_folded_before_ptq(own: Bench) -> None:
    assert own.record("fold-ptq").metrics["AP"] >= 0


def test_a_parametrized_weight_stays_parametrized_and_trains(own: Bench) -> None:
    """Folding in QAT: what is quantized is what the parametrization makes, and its own parameters train."""
    record = own.record("fold-qat")
    assert record.training is not None
    state = torch.load(own.store.folder(record.identity).checkpoint, weights_only=True)
    scale = state["backbone.layer1.0.conv1.parametrizations.weight.0.g"]
    assert not torch.equal(scale, torch.ones_like(scale))
