"""Claims of a suite from its records to `check` and `table`."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from factories import ENVIRONMENT, call, job_of, located, measure_all, store_record, suite_data

from bench.cli.main import main
from bench.errors import UsageError
from bench.plan.jobs import plan
from bench.report.make import make_table
from bench.report.render import render
from bench.schema.load import Located, load_suite
from bench.schema.suite import Tier
from bench.verdict.claims import ClaimVerdict, judge
from bench.verdict.gather import gather

CLAIM = {
    "id": "ft-beats-lsq",
    "text": "FP+ft beats LSQ",
    "source": "Table III",
    "kind": "difference",
    "metric": "AP",
    "rows": ["fp-ft", "lsq"],
    "published": 2.4,
}
SPREAD = [0.001, -0.002, 0.0015, 0.0, -0.0005]


def suite_of(root: Path, claims: list[dict[str, Any]], tier: Tier = "mini", **more: Any) -> Located:
    data = suite_data(claims=claims, **more)
    data["tiers"] = {tier: data["tiers"]["mini"] | {"seeds": 5}}
    data["rows"][2]["pins"] = {tier: data["rows"][2]["pins"]["mini"]}
    return located(root, data)


def measure(suite: Located, gain: float, tier: Tier = "mini") -> None:
    """FP+ft at 0.5 plus noise, LSQ lower by `gain` points, with a spread of its own."""
    for job in plan(suite, tier):
        spread = SPREAD[job.repetition]
        ap = {"fp": 0.5, "fp-ft": 0.5 + 4 * spread, "lsq": 0.5 + 3 * spread - gain / 100}[job.row.id]
        store_record(suite, job, ap)


def keys(found: ClaimVerdict) -> list[str]:
    return [environment.key for environment in found.environments]


def verdict(suite: Located, tier: Tier = "mini") -> ClaimVerdict:
    return judge(gather(suite, tier))[0]


@pytest.mark.parametrize(("gain", "status"), [(1.0, "holds"), (-0.1, "fails"), (0.1, "equivalent"), (-0.5, "fails")])
def test_claims_from_paired_seeds(tmp_path: Path, gain: float, status: str) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, gain)
    found = verdict(suite)
    assert (found.status, found.answer.n, found.repetitions) == (status, 5, (0, 1, 2, 3, 4))
    # The seeds' own spread cancels in pairs.
    assert found.answer.mean == pytest.approx(gain + 100 * sum(SPREAD) / 5, abs=1e-9)


def test_rows_without_quantizers_run_no_kernels(tmp_path: Path) -> None:
    """FP is `eager` and LSQ `numba` on one machine: they are pairs all the same, but not with another machine's."""
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, 1.0)
    for n, (machine, kernels) in enumerate([("Example CPU avx2", "numba"), ("Other CPU", "numba")]):
        facts = {**ENVIRONMENT, "kernels": kernels, "processor": machine}
        store_record(suite, job_of(suite, "lsq", n), 0.49, environment=facts, environment_key=str(n) * 16)
    found = verdict(suite)
    assert found.repetitions == (0, 2, 3, 4) and keys(found) == ["0" * 16, "e" * 16]


def test_one_seed_is_inconclusive(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    for row in ("fp-ft", "lsq"):
        store_record(suite, job_of(suite, row), 0.5 if row == "lsq" else 0.6)
    found = verdict(suite)
    assert (found.status, found.message) == ("inconclusive", "one pair has no interval")


def test_pairs_stay_within_one_environment(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, 1.0)
    store_record(suite, job_of(suite, "lsq", 0), 0.1, environment_key="0" * 16)
    for row in ("fp-ft", "lsq"):
        store_record(suite, job_of(suite, row, 1), 0.1, environment_key="1" * 16)
    found = verdict(suite)
    # Another environment's pair counts as well; one across two is none.
    assert (found.repetitions, keys(found)) == ((1, 2, 3, 4), ["1" * 16, "e" * 16])
    assert found.answer.mean == pytest.approx(0.75, abs=0.1)
    assert found.message == "1 repetition skipped: some row has no result in the same environment"
    # One pair at 0, three near 1: shown and tested.
    assert [one.pairs for one in found.environments] == [1, 3]
    assert found.environments_p is not None and found.environments_p < 0.05


def test_no_seed_in_one_environment(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, 1.0)
    for repetition in range(5):
        store_record(suite, job_of(suite, "lsq", repetition), 0.4, environment_key="0" * 16)
    assert verdict(suite).status == "no result"


def test_unsound_and_undefined_runs_are_no_pairs(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, 1.0)
    store_record(suite, job_of(suite, "lsq", 0), 0.9, placement=None)
    store_record(suite, job_of(suite, "lsq", 1), metrics={"AP": -1.0})
    assert verdict(suite).repetitions == (2, 3, 4)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (CLAIM, "no result of fp-ft, lsq"),
        ({**CLAIM, "rows": ["hardet", "fp"]}, "no result of hardet, fp"),
    ],
)
def test_not_run(tmp_path: Path, claim: dict[str, Any], message: str) -> None:
    found = verdict(suite_of(tmp_path, [claim]))
    assert (found.status, found.message) == ("no result", message)


LIMIT = {"row": "lsq", "reference": "fp-ft", "loses_at_most": 0.8}


@pytest.mark.parametrize(
    ("gain", "words", "regime", "why"),
    [
        (1.2, "out of regime", "out", "lsq loses 1.20 against fp-ft, the limit is 0.8"),
        # By signs alone five pairs reach 3.1 %, and a family is tested at 3 %.
        (0.5, "holds, depends on near-symmetry", "in", ""),
        (
            0.85,
            "holds, depends on near-symmetry, regime borderline",
            "borderline",
            "the limit is 0.8, inside the 95 % interval of 5 repetitions",
        ),
    ],
)
def test_regime(tmp_path: Path, gain: float, words: str, regime: str, why: str) -> None:
    suite = suite_of(tmp_path, [{**CLAIM, "within": ["lsq"]}], regime=[LIMIT])
    measure(suite, gain)
    found = verdict(suite)
    assert (found.words, found.regime) == (words, regime) and why in found.regime_why


def test_regime_that_is_not_known(tmp_path: Path) -> None:
    claim = {**CLAIM, "rows": ["fp-ft", "fp"], "within": ["lsq"]}
    suite = suite_of(tmp_path, [claim], regime=[LIMIT])
    for row in ("fp", "fp-ft"):
        store_record(suite, job_of(suite, row), 0.5)
    found = verdict(suite)
    assert (found.regime, found.regime_why) == ("borderline", "no pair of lsq and fp-ft to tell the regime by")


def test_interaction_is_a_difference_of_gains(tmp_path: Path) -> None:
    claim = {**CLAIM, "kind": "interaction", "rows": ["fp-ft", "lsq", "lsq", "fp-ft"]}
    suite = suite_of(tmp_path, [claim])
    measure(suite, 1.0)
    found = verdict(suite)
    assert found.repetitions == (0, 1, 2, 3, 4)
    assert found.answer.mean == pytest.approx(2 * verdict(suite_of(tmp_path, [CLAIM])).answer.mean)


def test_a_row_that_starts_from_no_other_is_compared_with_every_seed(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [{**CLAIM, "rows": ["lsq", "fp"]}])
    measure(suite, -1.0)
    found = verdict(suite)
    assert (found.answer.n, found.repetitions) == (5, (0, 1, 2, 3, 4))
    store_record(suite, job_of(suite, "fp"), 0.5, environment_key="0" * 16)
    assert verdict(suite).status == "no result"


def test_a_claim_about_the_share_of_small_gaps_reads_the_records_harmony(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [{**CLAIM, "metric": "gap_share"}])
    for row, share in (("fp-ft", 0.3), ("lsq", 0.25)):
        for repetition in range(5):
            harmony = {"positives": 9.0, "gap_share": share + repetition / 1000}
            store_record(suite, job_of(suite, row, repetition), harmony=harmony)
    found = verdict(suite)
    assert found.answer.mean == pytest.approx(5.0)
    # A record from before it was computed is no pair.
    store_record(suite, job_of(suite, "lsq", 4))
    assert verdict(suite).repetitions == (0, 1, 2, 3)


def test_claims_of_a_table_are_tested_at_one_level(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, 0.17)
    assert verdict(suite).status == "holds"
    others = [{**CLAIM, "id": f"c{n}", "rows": ["lsq", "fp-ft"]} for n in range(9)]
    suite = suite_of(tmp_path, [CLAIM, *others])
    found = judge(gather(suite, "mini"))
    assert {one.answer.level for one in found} == {0.003} and found[0].status == "equivalent"


def test_check_prints_tier_and_data_in_the_cell_and_never_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, -1.0)
    assert call(suite, "check") == 0
    text = capsys.readouterr().out
    assert (
        "fails, depends on near-symmetry (mini, Shapes-VOC (generated drawings, 64 px))" in text
        and "other data" in text
    )
    assert "all from one full-precision model" in text
    assert "family all claims (1 claim): each bound at 97 %, checkpoints shared" in text
    assert call(suite, "check", "--json") == 0
    (claim,) = json.loads(capsys.readouterr().out)["suites"][0]["claims"]
    assert (claim["status"], claim["n"], claim["size"]) == ("fails", 5, None)
    assert claim["upper"] < 0 < claim["detectable"]


def test_show_says_what_is_claimed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = suite_of(tmp_path, [{**CLAIM, "within": ["lsq"]}], regime=[LIMIT])
    assert main(["--root", str(suite.root), "show", suite.name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["claims"] == [{**CLAIM, "within": ["lsq"], "gates": True}] and facts["regime"] == [LIMIT]


def test_size_is_judged_at_tier_paper(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [CLAIM], "paper")
    measure(suite, 1.0, "paper")
    found = verdict(suite, "paper")
    assert (found.status, found.answer.size) == ("holds", "smaller")


@pytest.mark.parametrize("form", ["github", "latex", "json", "csv"])
def test_table_holds_claims(tmp_path: Path, form: Any) -> None:
    suite = suite_of(tmp_path, [CLAIM])
    measure(suite, 1.0)
    text = render([make_table(suite, "mini", False)], form, "qdet-bench table toy/table1")
    assert ("FP+ft beats LSQ" in text) == (form != "csv")
    if form == "json":
        assert json.loads(text)["tables"][0]["claims"][0]["status"] == "holds"
    else:
        assert (" ± " in text) == (form == "github") and ("$\\pm$" in text) == (form == "latex")


def test_seeds_have_an_interval(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [])
    measure_all(suite)
    table = make_table(suite, "mini", False)
    headings = [column.heading for column in table.columns]
    cells = [dict(zip(headings, row, strict=True)) for row in table.rows]
    # 50, 51, 52, 53, 54: s = 1.58, t = 2.776
    assert [row["AP"] for row in cells[:3]] == ["50.00 †", "52.00 ± 1.96", "52.00 ± 1.96"]
    assert any("All start from one full-precision model" in note for note in table.notes)
    assert any(note.startswith("† one run") for note in table.notes)
    store_record(suite, job_of(suite, "lsq", 1), 0.51, environment_key="0" * 16)
    (note,) = (note for note in make_table(suite, "mini", False).provenance if note.startswith("Rows by environment"))
    assert "lsq 52.25 in 4 of eeeeeeeeeeeeeeee, 51.00 in 1 of 0000000000000000 (p 0.559)" in note


@pytest.mark.parametrize(
    ("claims", "regime", "words"),
    [
        ([{**CLAIM, "rows": ["fp-ft", "lqs"]}], [], "unknown row 'lqs'; did you mean 'lsq'?"),
        ([{**CLAIM, "rows": ["fp-ft"]}], [], "kind difference compares 2 rows, found 1"),
        ([{**CLAIM, "kind": "interaction"}], [], "kind interaction compares 4 rows, found 2"),
        ([{**CLAIM, "rows": ["lsq", "lsq"]}], [], "compares rows with themselves"),
        ([CLAIM, CLAIM], [], "claim id 'ft-beats-lsq' is used twice"),
        ([{**CLAIM, "within": ["lsq"]}], [], "unknown limit of `regime` 'lsq'"),
        ([{**CLAIM, "metric": "mAP"}], [], "tier mini is scored by coco, which has no mAP"),
        ([{**CLAIM, "published": -1.0}], [], "published"),
        ([CLAIM], [{**LIMIT, "row": "nol"}], "unknown row 'nol'"),
        ([CLAIM], [{**LIMIT, "reference": "lsq"}], "row 'lsq' is measured against itself"),
        ([CLAIM], [LIMIT, LIMIT], "row 'lsq' has two limits"),
    ],
)
def test_wrong_claims_are_refused(tmp_path: Path, claims: Any, regime: Any, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        suite_of(tmp_path, claims, regime=regime)
    assert words in str(refused.value) and "table1.yaml:" in str(refused.value)


def test_core_rows_alone(tmp_path: Path) -> None:
    other = {**CLAIM, "id": "other", "rows": ["lsq", "fp-ft"]}
    first = {**CLAIM, "rows": ["fp-ft", "fp"]}
    suite = suite_of(tmp_path, [first, other], regime=[LIMIT])
    core = suite.suite.only(["fp", "fp-ft"])
    assert [row.id for row in core.rows] == ["fp", "fp-ft"]
    assert [claim.id for claim in core.claims] == [first["id"]] and core.regime == ()


def test_core_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(PROJECT)]
    assert main([*root, "plan", "hqod/table1", "--core", "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert len({job["row"] for job in jobs}) == len(load_suite("hqod/table1", PROJECT).suite.core) == 7
    assert main([*root, "plan", "hqod/table4", "--core"]) == 2
    assert "names no core rows" in capsys.readouterr().err
