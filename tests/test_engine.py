"""The whole way of a job: resume, repetition to the bit, failures, and the guard of versions."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, SUITE, another_rate, bench, edited, make_root
from version_guard import faults, load_guard

from bench.records.record import Record
from bench.records.store import Store

SMOKE = ("--tier", "smoke")


def records(root: Path) -> dict[str, Record]:
    return {record.provenance.asked_by.split()[1]: record for record in Store(root).records()}


def suite_file(root: Path) -> Path:
    return root / "suites" / f"{SUITE}.yaml"


def test_a_repeated_run_does_nothing(smoke_root: Path) -> None:
    done = bench(smoke_root, "run", SUITE, *SMOKE)
    assert "3 jobs: 3 done" in done.stdout


def test_the_same_jobs_give_the_same_predictions(smoke_root: Path, tmp_path: Path) -> None:
    """Two runs, one with two jobs at once and one with one: equal to the bit."""
    again = make_root(tmp_path / "again")
    bench(again, "run", SUITE, *SMOKE, "--jobs", "1")
    first, second = records(smoke_root), records(again)
    assert first.keys() == second.keys() == {"fp", "fp-ft-w4a4", "lsq-w4a4"}
    for row, record in first.items():
        assert record.predictions == second[row].predictions
        assert record.metrics == second[row].metrics
        assert record.checkpoint_sha256 == second[row].checkpoint_sha256
    assert len({record.predictions.digest for record in first.values()}) == 3


def test_one_edited_learning_rate_runs_one_job(finished_root: Path) -> None:
    with edited(suite_file(finished_root)) as suite:
        another_rate(suite, 0.002)
    planned = json.loads(bench(finished_root, "plan", SUITE, *SMOKE, "--json").stdout)
    assert "recipe.optimizer.lr" in json.dumps(planned)
    done = bench(finished_root, "run", SUITE, *SMOKE)
    assert "3 jobs: 2 done, 1 executed" in done.stdout


def test_a_record_holds_its_provenance(smoke_root: Path) -> None:
    record = records(smoke_root)["lsq-w4a4"]
    assert record.environment["packages"]["torch"] and record.environment["threads"] == 1
    assert record.environment["kernels"] == f"numba {version('numba')}"
    assert record.provenance.arguments[:2] == ("--root", str(smoke_root))
    assert record.data.splits["train"]["images"] == 16
    assert len(record.calibration_images) == 8
    assert record.placement is not None and len(record.placement_sites) == 38 + 66
    assert set(record.cost.phases) == {"data", "build", "calibrate", "train", "predict", "score"}
    assert all(phase.peak_mib > 100 and phase.cpu_s is not None for phase in record.cost.phases.values())
    assert set(record.per_category) == {c for c in record.per_category if "-" in c} and len(record.per_category) == 20
    assert record.category_images is not None and record.category_images.keys() == record.per_category.keys()
    assert all(values.keys() == record.metrics.keys() for values in record.per_category.values())


def test_scores_come_from_the_saved_predictions(smoke_root: Path) -> None:
    from bench.data.load import load
    from bench.evaluation.metric import metric_of
    from bench.evaluation.predictions import Predictions
    from bench.schema.load import load_suite

    tier = load_suite(SUITE, smoke_root).suite.tiers["smoke"]
    store = Store(smoke_root)
    test = load(tier.data, "test", smoke_root, store.data_cache)
    for record in store.records():
        saved = Predictions.load(store.folder(record.identity).predictions)
        assert saved.digest() == record.predictions.digest
        assert metric_of(tier.metric).score(test.coco, saved.to_coco()).metrics == record.metrics


FAILING = """
class Failing:
    version = 1

    def __init__(self, options):
        self.at = options["at"]

    def adapt_model(self, model):
        if self.at == "adapt":
            raise ValueError("planted | failure")

    def regulariser(self, model, batch):
        if self.at == "step":
            raise RuntimeError("planted")
        return batch["inputs"].sum() * float("nan")
"""


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("adapt", "planted | failure"),
        ("train", "the loss became nan at step 1"),
        ("step", "RuntimeError: step 1, last losses none: planted"),
    ],
)
def test_a_failing_row_does_not_stop_the_others(finished_root: Path, at: str, reason: str) -> None:
    (finished_root / "failing.py").write_text(FAILING, encoding="utf-8")
    method = {"name": "failing:Failing", "options": {"at": at}}
    with edited(suite_file(finished_root)) as suite:
        suite["rows"].append({"id": "bad", "kind": "ft-w4a4", "start": "fp", "label": "Bad", "methods": [method]})
    done = bench(finished_root, "run", SUITE, *SMOKE, expect=1)
    assert "4 jobs: 3 done, 1 failed" in done.stdout and reason in done.stdout
    table = bench(finished_root, "table", SUITE, *SMOKE).stdout
    assert reason.replace("|", "\\|") in table
    assert bench(finished_root, "check", SUITE, *SMOKE, "--gate", expect=1)


def test_wrong_pins_fail_the_row_before_it_trains(finished_root: Path) -> None:
    with edited(suite_file(finished_root)) as suite:
        suite["policies"]["hqod"]["pins"]["activations"] = 70
    shutil.rmtree(Store(finished_root).folder(records(finished_root)["lsq-w4a4"].identity).path)
    done = bench(finished_root, "run", SUITE, *SMOKE, expect=1)
    assert "placement differs from the suite's pins: activations 66 instead of 70" in done.stdout
    assert "train" not in done.stdout


def test_a_corrupt_record_is_no_result(finished_root: Path) -> None:
    folder = Store(finished_root).folder(records(finished_root)["fp-ft-w4a4"].identity)
    folder.record_file.write_bytes(folder.record_file.read_bytes()[:200])
    done = bench(finished_root, "run", SUITE, *SMOKE, expect=1)
    assert f"{folder.record_file}: not a record" in done.stdout


def test_predictions_hashes_of_this_environment_are_the_committed_ones(smoke_root: Path) -> None:
    """A refactoring keeps every bit; a change that does not must raise the version of its room."""
    found = list(records(smoke_root).values())
    guard = load_guard()
    # Rows without quantizers have the key of no kernels.
    keys = {record.environment_key for record in found}
    if keys - guard.keys():
        pytest.skip(f"no hashes of environment {keys} are committed; `python -m tests.version_guard` adds them")
    assert faults(found, {name: digest for key in keys for name, digest in guard[key].items()}) == []


PLANTED = {
    "bench/quantization/kernels/numba_path.py": (
        "lsq-w4a4",
        "np.rint(_clip(x[i] * rec",
        "np.floor(_clip(x[i] * rec",
    ),
    "bench/detectors/pipeline.py": ("fp", "x + w, y + h]", "x + w + 1, y + h]"),
}
"""File -> a row that notices a change of it, the text there, another text."""


@pytest.mark.parametrize("file", PLANTED)
def test_the_guard_catches_a_planted_change(file: str, finished_root: Path, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    row, old, new = PLANTED[file]
    source = tmp_path / file
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1
    source.write_text(text.replace(old, new), encoding="utf-8")
    clean = {r.identity: r.predictions.digest for r in records(finished_root).values()}
    shutil.rmtree(Store(finished_root).folder(records(finished_root)[row].identity).path)
    command = [sys.executable, "-m", "bench", "--root", str(finished_root), "run", SUITE, *SMOKE, "--rows", row]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=_environment(tmp_path))
    (found,) = faults(list(records(finished_root).values()), clean)
    assert found.startswith(f"{SUITE} {row} smoke") and "no version was raised" in found


def _environment(path: Path) -> dict[str, Any]:
    import os

    return {**os.environ, "PYTHONPATH": str(path)}


@pytest.mark.long
@pytest.mark.parametrize("suite", [SUITE, "detectors/quantized", *(f"hqod/table{k}" for k in (2, 3, 4))])
def test_every_row_of_the_suites_runs_at_tier_smoke(suite: str, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "suites", tmp_path / "suites")
    shutil.copytree(PROJECT / "baselines", tmp_path / "baselines")
    bench(tmp_path, "run", suite, *SMOKE, "--jobs", "2")
    found = records(tmp_path)
    losses = {row: record.training.last_loss for row, record in found.items() if record.training}
    assert losses.keys() == found.keys() and len(set(losses.values())) == len(losses) >= 7
