"""What the report shows of a run beside its scores: its training, and what its methods chose."""

from pathlib import Path

import pytest
from factories import located, record_data, suite_data
from pages import Page
from test_report import one

from bench.plan.jobs import plan
from bench.records.files import write_json
from bench.records.store import Store
from bench.report.html import curves, facts
from bench.report.html.page import render

FACTS = {
    "detptq": {"fixed": {"1": 0.4, "2": 0.3, "2.4": 0.2, "4": 0.5},
               "choice": {f"site{k}": "2.4" if k else "2" for k in range(5)},
               "curve": [0.5, 0.4, 0.35, 0.3], "held_out": {"fixed": 0.3, "chosen": 0.2}, "passes": 60.5},
    "lapq": {"samples": [[2.0, 0.5], [2.4, 0.4], [3.0, 0.6], [4.0, 0.9]]},
    "fisher": {"choices": [2, 4, 8], "layers": {f"conv{k}": {"sensitivity": 0.1 * k, "bits": 4} for k in range(5)}},
}  # fmt: skip


def test_counts_in_a_list_are_no_curve() -> None:
    assert (facts.fact("choices", [2, 3, 4, 8]).kind, facts.fact("choices", [2, 3, 4, 8]).value) == (
        "value",
        "2, 3, 4, 8",
    )
    assert facts.fact("loss", [2.0, 1, 0.5, 0.25]).kind == "curve"


def test_facts_are_drawn_by_their_form() -> None:
    found = {fact.name: fact for name, value in FACTS.items() for fact in facts.fact(name, value).facts}
    kinds = {name: fact.kind for name, fact in found.items()}
    assert kinds == {
        "fixed": "bars",
        "choice": "table",
        "curve": "curve",
        "held out": "facts",
        "passes": "value",
        "samples": "curve",
        "choices": "value",
        "layers": "table",
    }
    assert found["layers"].heads == ("", "sensitivity", "bits")
    assert found["layers"].lines[1] == ("conv1", "0.1", "4")


def test_what_holds_nothing_is_not_told_and_large_numbers_are_written_out() -> None:
    found = facts.fact("fold_bn", {"folded": 20, "not_folded": [], "categories": None, "limit": 319500.0})
    assert [(fact.name, fact.value) for fact in found.facts] == [("folded", "20"), ("limit", "319,500")]


def test_what_is_the_same_for_all_is_said_once_and_one_line_of_many_numbers_is_drawn() -> None:
    same = facts.fact("choice", {f"site{k}": "minmax" for k in range(5)})
    assert (same.kind, same.value) == ("value", "minmax for all 5")
    (drawn,) = facts.fact("bias", {"largest": {f"conv{k}": 0.1 * k for k in range(5)}}).facts
    assert (drawn.name, drawn.kind) == ("largest", "bars")


def test_rows_of_which_the_same_is_told_stand_together(tmp_path: Path) -> None:
    suite = located(tmp_path)
    for job in plan(suite, "mini"):
        told = {"fold_bn": {"folded": 20 if job.row.id != "lsq" else 19}}
        write_json(Store(tmp_path).folder(job.identity).record_file, record_data(job, 0.5, facts=told))
    (first, second) = facts.told(one(suite))
    assert first.labels == ("FP 32/32", "FP+ft 32/32")
    assert second.labels == ("LSQ 2/2",)


@pytest.mark.parametrize(("repetitions", "means"), [(1, ""), (2, " (means of 2 runs)")])
def test_one_or_two_points_of_a_training_are_told_in_words(tmp_path: Path, repetitions: int, means: str) -> None:
    data = suite_data()
    data["tiers"]["mini"]["seeds"] = repetitions
    suite = located(tmp_path, data)
    training = {"steps": 2, "first_loss": 3.0, "last_loss": 2.0, "curve": [3.0, 1.0]}
    for job in plan(suite, "mini"):
        changed = record_data(job, 0.5, training=training, evaluations=[{"step": 1, "metrics": {"AP": 0.25}}])
        write_json(Store(tmp_path).folder(job.identity).record_file, changed)
    section = one(suite)
    *_, lsq = curves.training(section)
    assert lsq.drawn == ()
    assert lsq.told == (f"AP 25.00 at step 1, 50.00 at step 2{means}", f"loss 3.000 at step 1, 1.000 at step 2{means}")
    page = render([section], "qdet-bench report", None)
    assert f"AP 25.00 at step 1, 50.00 at step 2{means}; loss 3.000 at step 1" in page
    assert 'class="curve"' not in page


def test_facts_curves_and_scores_of_a_record_are_in_the_page(tmp_path: Path) -> None:
    suite = located(tmp_path)
    training = {"steps": 100, "first_loss": 2.0, "last_loss": 1.0, "curve": [2.0, 1.5, 1.2, 1.0]}
    for job in plan(suite, "mini"):
        changed = record_data(job, 0.5, facts=FACTS, training=training)
        changed["evaluations"] = [{"step": k, "metrics": {"AP": k / 200}} for k in (25, 50)]
        write_json(Store(tmp_path).folder(job.identity).record_file, changed)
    section = one(suite)
    (first, *_) = curves.training(section)
    scores, losses = first.drawn
    assert [words for _, _, words in scores.dots] == ["step 25: 12.5", "step 50: 25", "step 100: 50"]
    assert len(losses.lines[0].split()) == 4
    assert first.told == ()
    page = render([section], "qdet-bench report", None)
    assert "sensitivity" in page
    assert "site4" in page
    assert not Page(page).broken
