"""Baselines: what `accept` writes and refuses, and tolerances."""

import json
from pathlib import Path
from typing import Any

import pytest
from factories import PINS, call, job_of, located, measure_all, record, store_record, suite_data
from pydantic import ValidationError

from bench.errors import BenchError, UsageError
from bench.records.store import Store
from bench.schema.load import Located
from bench.verdict.baseline import accept, baseline_file, load
from bench.verdict.check import judge
from bench.verdict.committed import gather_committed
from bench.verdict.faults import fault
from bench.verdict.gather import gather
from bench.verdict.moves import compare
from bench.verdict.tolerances import Absolute, Exact, Peers, Ratio, Statistical, Tolerances, judge_runs


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    suite = located(tmp_path)
    measure_all(suite)
    return suite


def baseline_json(suite: Located) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(baseline_file(suite, "mini").read_text())
    return data


def test_all_raw_records_are_kept(suite: Located) -> None:
    path = accept(gather(suite, "mini"))
    assert path == suite.root / "baselines" / "toy" / "table1.mini.json"
    baseline = load(suite, "mini")
    assert baseline is not None
    assert [entry.row for entry in baseline.entries] == ["fp", "fp-ft", "lsq"]
    assert all(e.record == Store(suite.root).folder(e.record.identity).record() for e in baseline.entries)
    assert baseline_json(suite)["tolerances"] == {"default": {"kind": "exact"}, "rows": {}}


def test_accepting_twice_writes_the_same_file(suite: Located) -> None:
    first = accept(gather(suite, "mini")).read_bytes()
    assert accept(gather(suite, "mini")).read_bytes() == first


def test_an_absent_row_is_refused_and_nothing_written(suite: Located) -> None:
    Store(suite.root).folder(job_of(suite, "lsq").identity).record_file.unlink()
    with pytest.raises(BenchError, match="lsq mini seed 0 cannot be accepted: it has not run"):
        accept(gather(suite, "mini"))
    assert not baseline_file(suite, "mini").exists()


def test_an_unsound_record_is_refused(suite: Located) -> None:
    store_record(suite, job_of(suite, "lsq"), placement=None)
    with pytest.raises(BenchError, match="cannot be accepted: placement"):
        accept(gather(suite, "mini"))


def test_rows_are_replaced_alone(suite: Located) -> None:
    accept(gather(suite, "mini"))
    measure_all(suite, fp=0.1, fp_ft=0.1, lsq=0.1)
    accept(gather(suite, "mini"), ["lsq"])
    baseline = load(suite, "mini")
    assert baseline is not None
    assert {e.row: e.record.metrics["AP"] for e in baseline.entries} == {"fp": 0.5, "fp-ft": 0.5, "lsq": 0.1}


def test_unknown_row(suite: Located) -> None:
    with pytest.raises(UsageError, match="runs no row 'hardet'; it runs fp, fp-ft, lsq"):
        accept(gather(suite, "mini"), ["hardet"])


def test_tolerances_survive_and_need_a_reason(suite: Located) -> None:
    path = accept(gather(suite, "mini"))
    data = baseline_json(suite)
    wide = {"kind": "absolute", "metric": "AP", "value": 0.001, "reason": "atomic additions"}
    data["tolerances"]["rows"]["lsq"] = wide
    path.write_text(json.dumps(data))
    accept(gather(suite, "mini"))
    assert baseline_json(suite)["tolerances"]["rows"] == {"lsq": wide}
    with pytest.raises(ValidationError, match="reason"):
        Tolerances.model_validate({"rows": {"lsq": {"kind": "absolute", "metric": "AP", "value": 0.001}}})


@pytest.mark.parametrize(("ap", "status"), [(0.4995, "holds"), (0.5005, "holds"), (0.498, "regressed")])
def test_absolute_tolerance(suite: Located, ap: float, status: str) -> None:
    job = job_of(suite, "lsq")
    wide = Absolute(kind="absolute", metric="AP", value=0.001, reason="atomic additions")
    found = compare(record(job, ap), record(job, 0.5), wide)
    assert found.status == status
    assert "tolerance 0.1 (absolute: atomic additions)" in found.message
    assert compare(record(job, ap), record(job, 0.5), Exact()).status != "holds"


def test_a_baseline_of_another_suite_is_refused(suite: Located) -> None:
    path = accept(gather(suite, "mini"))
    path.write_text(path.read_text().replace('"suite": "toy/table1"', '"suite": "toy/table2"'))
    with pytest.raises(BenchError, match="the baseline of toy/table2"):
        load(suite, "mini")


def test_committed_records_stand_in_for_absent_local_ones(suite: Located) -> None:
    accept(gather(suite, "mini"))
    for job in Store(suite.root).jobs.iterdir():
        (job / "record.json").unlink()
    assert {r.state for r in gather(suite, "mini").jobs} == {"absent"}
    assert {r.state for r in gather_committed(suite, "mini").jobs} == {"done"}


@pytest.mark.parametrize(("policy", "wrong"), [({"readers": "all"}, None), ({}, "placement: activations 5, pinned 7")])
def test_pins_are_of_the_policy_that_is_declared(suite: Located, policy: dict[str, str], wrong: str | None) -> None:
    """Quantizers of an earlier policy lie where it said: its committed records are older, not wrong."""
    accept(gather(suite, "mini"))
    data = suite_data()
    data["policies"]["all"] |= policy
    data["rows"][2]["pins"] = {"mini": {**PINS, "activations": 7}}
    results = gather_committed(located(suite.root, data), "mini")
    assert next(fault(r) for r in results.jobs if r.job.row.id == "lsq") == wrong


def test_committed_without_a_baseline(suite: Located) -> None:
    with pytest.raises(BenchError, match="there is no baseline; `qdet-bench accept toy/table1 --tier mini`"):
        gather_committed(suite, "mini")


def test_command_writes_baseline_and_table(suite: Located, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(suite, "accept") == 0
    table = suite.root / "results" / "toy" / "table1.mini.md"
    assert capsys.readouterr().out.split() == [str(baseline_file(suite, "mini")), str(table)]
    first = table.read_text().splitlines()[0]
    assert first == "<!-- Generated by `qdet-bench table toy/table1 --tier mini --committed`; do not edit. -->"


def test_smoke_has_no_results_table(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"] = {"smoke": data["tiers"]["mini"]}
    del data["rows"][2]["pins"]
    suite = located(tmp_path, data)
    measure_all(suite, "smoke")
    call(suite, "accept", "--tier", "smoke")
    assert baseline_file(suite, "smoke").exists() and not (tmp_path / "results" / "toy").exists()


FP = {"fp": {"AP": 0.5}}


@pytest.mark.parametrize(
    ("ap", "fp", "status"),
    [(0.45, 0.5, "holds"), (0.405, 0.45, "holds"), (0.43, 0.5, "regressed"), (0.47, 0.5, "improved")],
)
@pytest.mark.parametrize("key", ["e" * 16, "0" * 16])
def test_ratio_is_of_one_stack(suite: Located, ap: float, fp: float, status: str, key: str) -> None:
    job = job_of(suite, "lsq")
    ratio = Ratio(kind="ratio", metric="AP", row="fp", value=0.01, reason="another GPU")
    peers = Peers(here={"fp": {"AP": fp}}, there=FP)
    found = compare(record(job, ap, environment_key=key), record(job, 0.45), ratio, peers)
    assert found.status == status
    assert f"AP / fp {100 * ap / fp:.2f}, baseline 90.00 %" in found.message or not found.message


def test_ratio_without_its_row_is_inconclusive(suite: Located) -> None:
    job = job_of(suite, "lsq")
    ratio = Ratio(kind="ratio", metric="AP", row="fp", value=0.01, reason="another GPU")
    found = compare(record(job, 0.44), record(job, 0.45), ratio, Peers(here={}, there=FP))
    assert found.status == "inconclusive" and "row fp has no AP to divide by" in found.message


RUNS = [{"AP": ap} for ap in (0.450, 0.452, 0.447, 0.451, 0.448)]


@pytest.mark.parametrize(("move", "within"), [(0.0, True), (-0.02, False), (0.02, False)])
def test_runs_together_are_predicted_from_the_baseline(move: float, within: bool) -> None:
    wide = Statistical(kind="statistical", metric="AP", reason="no deterministic kernel")
    found = judge_runs(wide, [{"AP": run["AP"] + move} for run in RUNS], RUNS)
    assert found is not None and found.within == within and found.move == pytest.approx(100 * move)
    assert judge_runs(wide, RUNS, RUNS[:4]) is None and judge_runs(wide, RUNS[:4], RUNS) is None


@pytest.mark.parametrize("rows", [1, 20])
def test_the_smallest_regression_that_is_seen(rows: int) -> None:
    """What is printed is what fails, and no more than a hundredth of a point above what does not."""
    wide = Statistical(kind="statistical", metric="AP", margin=0.001, reason="another machine")
    quiet = judge_runs(wide, RUNS, RUNS, rows)
    assert quiet is not None
    for points, within in ((quiet.visible, False), (quiet.visible - 0.0101, True)):
        found = judge_runs(wide, [{"AP": run["AP"] - points / 100} for run in RUNS], RUNS, rows)
        assert found is not None and found.within == within
    alone = judge_runs(wide, RUNS, RUNS)
    assert alone is not None and (quiet.visible > alone.visible) == (rows > 1)


def test_one_bad_run_does_not_widen_what_is_allowed() -> None:
    wide = Statistical(kind="statistical", metric="AP", reason="another machine")
    found = judge_runs(wide, [*RUNS[:4], {"AP": 0.25}], RUNS)
    assert found is not None and not found.within


def test_a_tolerance_excuses_no_lost_metric(suite: Located) -> None:
    job = job_of(suite, "lsq")
    wide = Absolute(kind="absolute", metric="AP", value=0.001, reason="atomic additions")
    found = compare(record(job, metrics={"AP": 0.5}), record(job, 0.5), wide)
    assert found.status == "changed" and "AP50 absent" in found.message


def test_tolerances_reach_check_through_the_baseline_file(suite: Located) -> None:
    path = accept(gather(suite, "mini"))
    data = baseline_json(suite)
    data["tolerances"]["default"] = {"kind": "ratio", "metric": "AP", "row": "fp", "value": 0.01, "reason": "GPU"}
    path.write_text(json.dumps(data))
    measure_all(suite, fp=0.4, fp_ft=0.4, lsq=0.4)
    verdicts = {v.row: v for v in judge(gather(suite, "mini"), load(suite, "mini"), None) if v.kind == "baseline"}
    assert {row: v.status for row, v in verdicts.items()} == {"fp": "holds", "fp-ft": "holds", "lsq": "holds"}
    store_record(suite, job_of(suite, "lsq"), 0.39)
    found = next(v for v in judge(gather(suite, "mini"), load(suite, "mini"), None) if v.row == "lsq")
    assert found.status == "regressed" and "AP / fp 97.50, baseline 100.00 %" in found.message
