"""The plan of the evidence: whole repetitions, families that were declared, and runs that count for no claim."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from factories import located, record_data, store_record, suite_data
from test_claims import CLAIM, SPREAD

from bench.cli.main import main
from bench.errors import UsageError
from bench.plan.jobs import Job, plan
from bench.records.store import Store
from bench.schema.load import Located, load_suite
from bench.verdict.baseline import accept, load
from bench.verdict.claims import ClaimVerdict, judge
from bench.verdict.gather import gather
from bench.verdict.references import judge_references, published_table
from bench.verdict.restore import keep_checkpoints, restore

EVIDENCE = {"families": {"primary": {"claims": [CLAIM["id"]], "level": 0.05, "spread": 0.5}}}


def suite_of(root: Path, checkpoints: str = "own", seeds: int = 5, **changes: Any) -> Located:
    data = suite_data(**{"claims": [CLAIM], "evidence": EVIDENCE, **changes})
    data["tiers"]["mini"] |= {"seeds": seeds, "checkpoints": checkpoints}
    return located(root, data)


def jobs(suite: Located, **options: Any) -> dict[tuple[str, int], Job]:
    return {(job.row.id, job.repetition): job for job in plan(suite, "mini", **options)}


def measure(suite: Located, repetitions: int = 5, gain: float = 1.0, **changes: Any) -> None:
    """FP+ft beats LSQ by `gain` points at every repetition, with a small spread."""
    for (row, n), job in jobs(suite).items():
        if n < repetitions:
            ap = 0.5 + n / 100 + {"fp": 0.0, "fp-ft": 0.002 + SPREAD[n % 5], "lsq": 0.002 - gain / 100}[row]
            store_record(suite, job, ap, **changes)


def verdict(suite: Located) -> ClaimVerdict:
    return judge(gather(suite, "mini"))[0]


def test_a_repetition_is_the_whole_pipeline_or_starts_from_one_model(tmp_path: Path) -> None:
    own, shared = jobs(suite_of(tmp_path / "a", "own")), jobs(suite_of(tmp_path / "b", "shared"))
    assert [key for key in own if key[0] == "fp"] == [("fp", n) for n in range(5)]
    assert [key for key in shared if key[0] == "fp"] == [("fp", 0)]
    for n in range(5):
        for row in ("fp-ft", "lsq"):
            assert own[row, n].start == own["fp", n] and shared[row, n].start == shared["fp", 0]
    # Repetition 0 is the same work in both.
    assert all(own[row, 0].identity == shared[row, 0].identity for row in ("fp", "fp-ft", "lsq"))
    assert len({job.identity for job in own.values()}) == 15


def test_whole_repetitions_come_one_after_the_other(tmp_path: Path) -> None:
    order = [*jobs(suite_of(tmp_path, seeds=3))]
    assert order == [(row, n) for n in range(3) for row in ("fp", "fp-ft", "lsq")]
    assert [*jobs(suite_of(tmp_path), rows=("lsq",), seeds=2)] == [("fp", 0), ("lsq", 0), ("fp", 1), ("lsq", 1)]


def test_further_repetitions_bring_no_start_along_that_nobody_ran(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, seeds=1)
    wanted = {("lsq", 1), ("fp", 1)}
    found = jobs(suite, further=lambda job: (job.row.id, job.repetition) in wanted)
    assert {key for key in found if key[1]} == wanted


def test_a_checkpoint_that_is_not_trained_here_is_the_same_each_time() -> None:
    table = load_suite("hqod/table2", PROJECT)
    paper = table.suite.tiers["paper"].model_copy(update={"checkpoints": "own", "seeds": 2})
    table = replace(table, suite=table.suite.model_copy(update={"tiers": {"paper": paper}}))
    found = {(job.row.id, job.repetition): job for job in plan(table, "paper")}
    assert ("retinanet-r50-fp", 1) not in found and ("retinanet-r18-syncbn-fp", 1) in found
    for row, start in (
        ("retinanet-r50-fp-ft", ("retinanet-r50-fp", 0)),
        ("retinanet-r18-aqd-w4a4", ("retinanet-r18-syncbn-fp", 1)),
    ):
        assert found[row, 1].start == found[start]


def test_interim_until_the_plan_is_complete_and_nothing_beyond_it_counts(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    assert verdict(suite).words == "no result"
    measure(suite, 3)
    found = verdict(suite)
    assert (found.status, found.words, found.answer.n) == ("interim", "interim (3 of 5)", 3)
    measure(suite)
    assert verdict(suite).words == "holds"
    for (row, n), job in jobs(suite, seeds=6).items():
        if n == 5:
            store_record(suite, job, 0.9 if row == "lsq" else 0.5)
    found = verdict(suite)
    assert (found.words, found.repetitions) == ("holds", (0, 1, 2, 3, 4))
    assert "2 runs set aside: beyond the plan of the evidence" in found.message


def test_the_family_is_the_declared_one(tmp_path: Path) -> None:
    claims = [CLAIM, {**CLAIM, "id": "hardet", "rows": ["lsq", "hardet"]}]
    families = {"primary": {"claims": ["ft-beats-lsq", "hardet"], "level": 0.1}}
    suite = suite_of(tmp_path, claims=claims, evidence={"families": families})
    measure(suite)
    found = judge(gather(suite, "mini"))
    # The second cannot be run, and still counts.
    assert [one.answer.level for one in found] == [0.05, 0.05] and found[1].status == "no result"
    core = suite.suite.only(["fp", "fp-ft", "lsq"])
    assert core.family("ft-beats-lsq") == suite.suite.family("ft-beats-lsq")


def test_a_survey_tests_nothing(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, evidence={"survey": "One run."})
    measure(suite)
    found = verdict(suite)
    assert (found.words, found.family) == ("not tested (a survey)", None)
    assert main(["--root", str(tmp_path), "table", suite.name]) == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dirty": True}, "of a tree with changes that were not committed"),
        ({"source": "f" * 64}, "its rows were run by different sources"),
    ],
)
def test_runs_that_are_no_pair(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    suite = suite_of(tmp_path)
    measure(suite)
    job = jobs(suite)["lsq", 2]
    store_record(suite, job, provenance={**record_data(job)["provenance"], **changes})
    found = verdict(suite)
    assert found.words == "interim (4 of 5)" and 2 not in found.repetitions and why in found.message


def test_runs_from_a_model_of_a_tree_with_changes_are_no_pair(tmp_path: Path) -> None:
    """A repetition is the whole pipeline."""
    suite = suite_of(tmp_path)
    measure(suite)
    job = jobs(suite)["fp", 2]
    store_record(suite, job, provenance={**record_data(job)["provenance"], "dirty": True})
    found = verdict(suite)
    assert found.words == "interim (4 of 5)" and 2 not in found.repetitions
    assert "2 runs set aside: from a model of a tree with changes that were not committed" in found.message


def test_runs_of_an_earlier_protocol_are_shown_and_count_for_no_claim(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "shared")
    measure(suite)
    accept(gather(suite, "mini"))
    data = json.loads(suite.path.read_text())
    data["tiers"]["mini"]["checkpoints"] = "own"
    from bench.verdict.committed import gather_committed

    (found,) = judge(gather_committed(located(tmp_path, data), "mini"))
    # Repetition 0 is the same work.
    assert found.words == "interim (1 of 5)" and "8 runs set aside: of an earlier protocol" in found.message


def test_one_environment_alone_where_the_plan_says_so(tmp_path: Path) -> None:
    for environments, repetitions in (("several", (0, 1, 2, 3, 4)), ("one", (0, 1, 2, 4))):
        suite = suite_of(tmp_path, evidence={**EVIDENCE, "environments": environments})
        measure(suite)
        for row in ("lsq", "fp-ft"):
            store_record(suite, jobs(suite)[row, 3], environment_key="0" * 16)
        assert verdict(suite).repetitions == repetitions


@pytest.mark.parametrize(("ap", "ft", "why"), [(0.14, 0.0, "has 14.00 AP"), (0.5, 0.012, "was not trained to its end")])
def test_full_precision_that_can_carry_no_claim(tmp_path: Path, ap: float, ft: float, why: str) -> None:
    suite = suite_of(tmp_path)
    for (row, n), job in jobs(suite).items():
        gain = {"fp": 0.0, "fp-ft": ft, "lsq": ft - 0.02}[row]
        store_record(suite, job, ap + gain + (SPREAD[n] / 10 if row != "fp" else 0.0))
    found = verdict(suite)
    assert found.words == "out of regime" and why in found.regime_why


@pytest.mark.parametrize("started", ["from it", "from another"])
def test_full_precision_may_be_trained_in_another_environment_than_its_control(tmp_path: Path, started: str) -> None:
    suite = suite_of(tmp_path)
    for (row, n), job in jobs(suite).items():
        gain = {"fp": 0.0, "fp-ft": 0.012, "lsq": -0.008}[row]
        facts = {"environment_key": "0" * 16, "checkpoint_sha256": "a" * 64} if row == "fp" else {}
        facts |= {"start_sha256": ("a" if started == "from it" else "b") * 64} if row == "fp-ft" else {}
        store_record(suite, job, 0.5 + gain + (SPREAD[n] / 10 if row != "fp" else 0.0), **facts)
    assert (verdict(suite).words == "out of regime") is (started == "from it")


def test_the_plan_says_what_it_can_detect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = suite_of(tmp_path)
    for command in ("plan", "show", "check", "table"):
        main(["--root", str(tmp_path), command, suite.name])
        assert ("a gain of 0.68 in 80 %" if command != "show" else "detectable: 0.67") in capsys.readouterr().out, (
            command
        )
    main(["--root", str(tmp_path), "plan", suite.name, "--json"])
    (facts,) = json.loads(capsys.readouterr().out)["evidence"].values()
    assert (facts["repetitions"], facts["checkpoints"]) == (5, "own")
    assert facts["families"][0]["detectable"] == pytest.approx(0.675, abs=0.005)


def test_repetitions_are_accepted_as_they_come_in_and_restored_with_their_own_models(tmp_path: Path) -> None:
    import hashlib

    suite = suite_of(tmp_path)
    for key, job in jobs(suite).items():
        if key[1] < 2:
            weights = f"weights of {key}".encode()
            store_record(suite, job, checkpoint_sha256=hashlib.sha256(weights).hexdigest())
            Store(suite.root).folder(job.identity).checkpoint.write_bytes(weights)
    accept(gather(suite, "mini"))
    assert len(keep_checkpoints(gather(suite, "mini"))) == 2
    baseline = load(suite, "mini")
    assert baseline is not None and len(baseline.entries) == 6
    for folder in Store(suite.root).jobs.iterdir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert len(restore(suite, "mini").restored) == 6
    for n in range(2):
        assert Store(suite.root).folder(jobs(suite)["fp", n].identity).checkpoint.exists()
    # What is not here stays accepted.
    for n in range(2):
        Store(suite.root).folder(jobs(suite)["lsq", n].identity).record_file.unlink()
    store_record(suite, jobs(suite)["lsq", 2])
    accept(gather(suite, "mini"))
    baseline = load(suite, "mini")
    assert baseline is not None and len(baseline.entries) == 7


@pytest.mark.parametrize("checkpoints", ["own", "shared"])
def test_a_prediction_interval_says_whether_it_knows_other_models(tmp_path: Path, checkpoints: str) -> None:
    data = suite_data()
    data["tiers"] = {"paper": data["tiers"]["mini"] | {"seeds": 3, "checkpoints": checkpoints}}
    data["rows"][2]["pins"] = {}
    suite = located(tmp_path, data)
    for job in plan(suite, "paper"):
        store_record(suite, job, 0.3 + job.repetition / 100)
    found = {v.row: v.message for v in judge_references(gather(suite, "paper"), published_table(suite))}
    assert found["lsq"].endswith("from one full-precision model") == (checkpoints == "shared")
    assert "from one full-precision model" not in found["fp"]


WRONG = [
    ({"families": {"a": {"claims": ["nol"]}}}, "unknown claim 'nol'"),
    ({"families": {"a": {"claims": ["ft-beats-lsq"]}, "b": {"claims": ["ft-beats-lsq"]}}}, "is in family 'a' already"),
    ({"families": {"a": {"claims": ["other"]}}}, "claim 'ft-beats-lsq' is in no family of `evidence`"),
    ({}, "needs either `families`, or `survey`"),
    ({**EVIDENCE, "survey": "why"}, "needs either `families`, or `survey`"),
]


@pytest.mark.parametrize(("evidence", "words"), WRONG)
def test_wrong_plans_are_refused(tmp_path: Path, evidence: dict[str, Any], words: str) -> None:
    claims = [CLAIM, {**CLAIM, "id": "other", "rows": ["lsq", "fp-ft"]}] if "no family" in words else [CLAIM]
    with pytest.raises(UsageError) as refused:
        suite_of(tmp_path, evidence=evidence, claims=claims)
    assert words in str(refused.value) and "table1.yaml:" in str(refused.value)


def test_arms_of_an_interaction_differ_in_nothing_else(tmp_path: Path) -> None:
    claim = {**CLAIM, "kind": "interaction", "rows": ["fp-ft", "lsq", "fp-ft", "fp"]}
    with pytest.raises(UsageError, match="the arms of an interaction have other starts"):
        suite_of(tmp_path, claims=[claim])
    suite = suite_of(tmp_path)
    data = json.loads(suite.path.read_text())
    data["claims"] = [{**claim, "rows": ["fp-ft", "lsq", "lsq", "fp-ft"]}]
    data["rows"][2]["recipe"] = "other"
    data["tiers"]["mini"]["recipes"]["other"] = data["tiers"]["mini"]["recipes"]["short"] | {"cost_s": 5.0}
    located(tmp_path, data)  # the same schedule under another name
    data["tiers"]["mini"]["recipes"]["other"]["length"] = 5
    with pytest.raises(UsageError, match="other schedules at tier mini"):
        located(tmp_path, data)


def test_a_control_has_the_schedule_and_the_start_of_its_row(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row 'lsq' and its control 'fp' have other starts"):
        suite_of(tmp_path, regime=[{"row": "lsq", "reference": "fp", "loses_at_most": 3.0}])


@pytest.mark.parametrize(
    ("name", "seeds", "checkpoints", "families"),
    [
        ("hqod/table1", 8, "own", {"primary": 5, "gaps": 4}),
        ("hqod/table4", 5, "shared", {"primary": 3}),
        ("real/bccd", 5, "own", {"primary": 3}),
        ("hqod/table2", 1, "shared", {}),
        ("hqod/table3", 1, "shared", {}),
    ],
)
def test_the_plans_of_the_tables(name: str, seeds: int, checkpoints: str, families: dict[str, int]) -> None:
    suite = load_suite(name, PROJECT).suite
    spec = suite.tiers["mini"]
    assert suite.evidence is not None and (spec.seeds, spec.checkpoints) == (seeds, checkpoints)
    assert {key: len(family.claims) for key, family in suite.evidence.families.items()} == families
    assert (suite.evidence.survey is not None) == (not families)
