"""Scores during training: they change nothing, the best one is known, and what chooses a protocol has its own split."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from conftest import SUITE, bench, edited, make_root
from factories import job_of, located, measure_all, record, store_record, suite_data
from suite_text import LSQ_ROW, changed, write_suite
from torch import nn

from bench.engine.evaluations import Evaluations
from bench.engine.rate import in_steps
from bench.errors import BenchError
from bench.records.record import Record
from bench.records.store import Store
from bench.report.make import make_table
from bench.schema.load import load_suite
from bench.verdict.gather import JobResult, collect
from bench.verdict.references import judge_references, published_table

DURING = [{"step": 2, "metrics": {"AP": 0.293}}, {"step": 3, "metrics": {"AP": 0.25}}]


def records(root: Path) -> dict[str, Record]:
    return {r.provenance.asked_by.split()[1]: r for r in Store(root).records()}


@pytest.fixture(scope="module")
def scored_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke jobs again: FP+ft and LSQ scored during training, and LSQ on the tune split too."""
    root = make_root(tmp_path_factory.mktemp("scored") / "root")
    with edited(root / "suites" / f"{SUITE}.yaml") as suite:
        suite["tiers"]["smoke"]["recipes"]["w4a4"]["evaluation"] = {"first": 1, "every": 2}
    bench(root, "run", SUITE, "--tier", "smoke", "--jobs", "2")
    return root


def test_training_is_the_same(scored_root: Path, smoke_root: Path) -> None:
    plain, scored = records(smoke_root), records(scored_root)
    for row in ("fp-ft-w4a4", "lsq-w4a4"):
        assert scored[row].identity != plain[row].identity
        assert scored[row].checkpoint_sha256 == plain[row].checkpoint_sha256
        assert scored[row].predictions == plain[row].predictions and scored[row].metrics == plain[row].metrics
        assert [one.step for one in scored[row].evaluations] == [1, 3] and not plain[row].evaluations
        assert {*scored[row].evaluations[0].metrics} == {*plain[row].metrics}


def test_scoring_gives_back_modes_and_random_numbers(tmp_path: Path) -> None:
    """The smoke jobs would not notice: they draw nothing after the first step and their detector has no dropout."""
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())

    def score() -> dict[str, float]:
        torch.rand(3)
        model.eval()
        return {"AP": 0.5}

    hook, runner = Evaluations(tmp_path / "scores.json", frozenset({1}), score, 0), SimpleNamespace(model=model, iter=0)
    before = torch.get_rng_state()
    hook.after_train_iter(cast(Any, runner), 0)
    assert [one.metrics for one in hook.found] == [{"AP": 0.5}]
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == [True, True, False]


def test_the_tune_split(tmp_path: Path) -> None:
    row = changed(("start: fp", "scored: tune\n    start: fp"), text=LSQ_ROW)
    with pytest.raises(BenchError, match="the data have none"):
        load_suite("x/y", write_suite(tmp_path, changed((LSQ_ROW, row))).parents[2])
    claim = "claims: [{id: a, text: A, source: S, kind: difference, metric: AP, rows: [lsq, fp]}]\n"
    text = changed((LSQ_ROW, row), ("{train: 16,", "{train: 16, tune: 5,"))
    with pytest.raises(BenchError, match="no claim rests on it"):
        load_suite("x/y", write_suite(tmp_path, text + claim).parents[2])
    suite = load_suite("x/y", write_suite(tmp_path, text).parents[2])
    job, fp = job_of(suite, "lsq"), job_of(suite, "fp")
    assert job.raw["scored"] == "tune" and "scored" not in fp.raw


def test_a_row_of_the_tune_split_runs_on_it(tmp_path: Path) -> None:
    text = changed(
        ("    recipe: fp\n", "    recipe: fp\n    scored: tune\n"),
        (LSQ_ROW, ""),
        ("{train: 16, test: 8}", "{train: 16, tune: 5, test: 8}"),
        ("init: {kind: scratch}", "init: {kind: scratch}\n        width: 8\n        neck_width: 8"),
    )
    text = text[: text.index("policies:")] + text[text.index("rows:") : text.index("    calibration:")]
    text += "    recipes:\n      fp: {unit: step, length: 1, batch: 2, decay: {kind: constant}, optimizer: "
    text += "{kind: sgd, lr: 0.01, weight_decay: 0.0}}\n"
    write_suite(tmp_path, text)
    bench(tmp_path, "run", "x/y")
    (found,) = records(tmp_path).values()
    assert found.data.splits.keys() == {"train", "tune"} and found.data.splits["tune"]["images"] == 5
    assert "scored on the tune split" in bench(tmp_path, "table", "x/y").stdout


def test_steps_of_epochs() -> None:
    data = suite_data()
    recipe = data["tiers"]["mini"]["recipes"]["short"]
    recipe |= {"unit": "epoch", "length": 18, "evaluation": {"first": 10, "every": 3}}
    from bench.schema.recipe import Recipe

    lengths = in_steps(Recipe.model_validate(recipe), 20)
    assert lengths.evaluations == {100, 130, 160} and lengths.total == 180


def test_the_last_step_is_scored_anyway(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["recipes"]["short"]["evaluation"] = {"first": 4}
    with pytest.raises(BenchError, match="lies at or past the end, 4"):
        located(tmp_path, data)


def test_table_shows_best_beside_last(tmp_path: Path) -> None:
    suite = located(tmp_path)
    measure_all(suite)
    assert "best AP" not in [column.heading for column in make_table(suite, "mini", committed=False).columns]
    store_record(suite, job_of(suite, "lsq"), 0.27, evaluations=DURING)
    table = make_table(suite, "mini", committed=False)
    at = [column.heading for column in table.columns].index("best AP")
    assert [row[at] for row in table.rows] == ["", "", "29.30"]
    assert [row[at - 3] for row in table.rows][2] == "27.00 †"
    assert any("chosen on the very images" in note for note in table.notes)


@pytest.mark.parametrize(("selection", "best"), [("best", True), ("last", False)])
def test_a_published_best_is_compared_with_the_best(tmp_path: Path, selection: str, best: bool) -> None:
    data = suite_data()
    data["tiers"] = {"paper": data["tiers"]["mini"] | {"seeds": 3}}
    data["rows"][2].pop("pins")
    suite = located(tmp_path, data)
    results = collect(suite, "paper", lambda job: JobResult(job, "done", record(job, 0.27, evaluations=DURING)))
    table = published_table(suite)
    assert table is not None
    verdicts = judge_references(results, table.model_copy(update={"selection": selection}))
    found = next(v for v in verdicts if v.row == "lsq")
    assert ("best AP 29.30" in found.message, found.status == "reproduced") == (best, best)
