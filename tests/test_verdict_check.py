"""`check`: every planted fault gets its verdict and its exit code."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from factories import NAME, PINS, call, job_of, located, measure_all, record, record_data, store_record, suite_data

import bench
from bench.errors import BenchError, UsageError
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.schema.load import Located
from bench.verdict.baseline import baseline_file
from bench.verdict.gather import JobResult, collect
from bench.verdict.references import judge_references, published_table


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    return located(tmp_path)


@pytest.fixture
def accepted(suite: Located) -> Located:
    """With records of all rows, and the baseline made of them."""
    measure_all(suite)
    call(suite, "accept")
    return suite


@pytest.fixture
def verdict_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The verdict on a row, from `check --json`; its exit code under `exit`."""

    def judged(suite: Located, row: str, repetition: int | None = 0, *options: str) -> dict[str, Any]:
        capsys.readouterr()
        code = call(suite, "check", "--json", *options)
        found = json.loads(capsys.readouterr().out)
        assert found["exit"] == code
        verdicts = found["suites"][0]["verdicts"]
        key = (row, repetition)
        verdict = next(v for v in verdicts if (v["row"], v["repetition"]) == key and v["kind"] != "reference")
        return {**verdict, "exit": code}

    return judged


Judge = Callable[..., dict[str, Any]]


def test_equal_results_hold(accepted: Located, verdict_of: Judge) -> None:
    verdict = verdict_of(accepted, "lsq")
    assert (verdict["status"], verdict["exit"]) == ("holds", 0)


@pytest.mark.parametrize(("ap", "status"), [(0.48, "regressed"), (0.52, "improved")])
def test_moved_ap(accepted: Located, verdict_of: Judge, ap: float, status: str) -> None:
    store_record(accepted, job_of(accepted, "lsq"), ap)
    verdict = verdict_of(accepted, "lsq", 0, "--gate")
    assert (verdict["status"], verdict["exit"]) == (status, 1)
    assert f"AP {100 * ap:.2f}, baseline 50.00" in verdict["message"]


def test_smallest_step_of_ap_is_seen(accepted: Located, verdict_of: Judge) -> None:
    job = job_of(accepted, "lsq")
    data = record_data(job)
    store_record(accepted, job, metrics={**data["metrics"], "AP": 0.5 - 2**-53})
    assert verdict_of(accepted, "lsq")["status"] == "regressed"


def test_another_digest_at_equal_metrics(accepted: Located, verdict_of: Judge) -> None:
    store_record(accepted, job_of(accepted, "lsq"), predictions={"digest": "f" * 64, "count": 12})
    verdict = verdict_of(accepted, "lsq")
    assert (verdict["status"], verdict["exit"]) == ("changed", 1)
    assert "all metrics are equal" in verdict["message"] and "ffffffffffff" in verdict["message"]


def test_another_score_from_the_same_predictions(accepted: Located, verdict_of: Judge) -> None:
    job = job_of(accepted, "lsq")
    metrics = {**record_data(job)["metrics"], "AP": 0.4}
    store_record(accepted, job, metrics=metrics)
    assert "the scoring has changed" in verdict_of(accepted, "lsq")["message"]


def test_a_lost_secondary_metric_is_a_change(accepted: Located, verdict_of: Judge) -> None:
    store_record(accepted, job_of(accepted, "lsq"), metrics={"AP": 0.5, "AP50": 0.7, "AP75": 0.55})
    verdict = verdict_of(accepted, "lsq")
    assert verdict["status"] == "changed" and "AP_S absent" in verdict["message"]


def test_nan(accepted: Located, verdict_of: Judge) -> None:
    job = job_of(accepted, "lsq")
    path = Store(accepted.root).folder(job.identity).record_file
    path.write_text(json.dumps(record_data(job, metrics={"AP": float("nan")})))
    verdict = verdict_of(accepted, "lsq", 0, "--gate")
    assert (verdict["status"], verdict["exit"]) == ("fails", 1)
    assert "metrics.AP" in verdict["message"] and "finite" in verdict["message"]


@pytest.mark.parametrize(("metrics", "message"), [({"AP50": 0.7}, "AP is absent"), ({"AP": -1.0}, "AP is -1")])
def test_absent_or_undefined_metric(
    accepted: Located, verdict_of: Judge, metrics: dict[str, float], message: str
) -> None:
    store_record(accepted, job_of(accepted, "lsq"), metrics=metrics)
    verdict = verdict_of(accepted, "lsq", 0, "--gate")
    assert (verdict["status"], verdict["message"], verdict["exit"]) == ("fails", message, 1)


def test_pins_come_before_the_baseline(accepted: Located, verdict_of: Judge) -> None:
    store_record(accepted, job_of(accepted, "lsq"), 0.48, placement={**PINS, "activations": 6})
    verdict = verdict_of(accepted, "lsq")
    assert (verdict["kind"], verdict["status"], verdict["exit"]) == ("result", "fails", 1)
    assert verdict["message"] == "placement: activations 6, pinned 5"


def test_pins_without_any_quantizer(accepted: Located, verdict_of: Judge) -> None:
    store_record(accepted, job_of(accepted, "lsq"), placement=None)
    assert "there are no quantizers" in verdict_of(accepted, "lsq")["message"]


def test_failed_job_and_the_rows_after_it(suite: Located, verdict_of: Judge) -> None:
    Store(suite.root).folder(job_of(suite, "fp").identity).fail("loss is NaN at step 3", "2026-01-01")
    verdict = verdict_of(suite, "fp", 0, "--gate")
    assert (verdict["status"], verdict["message"], verdict["exit"]) == ("fails", "loss is NaN at step 3", 1)
    after = verdict_of(suite, "lsq")
    assert after["status"] == "fails"
    assert after["message"] == "row fp, which it starts from, failed: loss is NaN at step 3"


def test_absent_results_are_incomplete_and_pass_a_gate(accepted: Located, verdict_of: Judge) -> None:
    Store(accepted.root).folder(job_of(accepted, "lsq").identity).record_file.unlink()
    verdict = verdict_of(accepted, "lsq")
    assert (verdict["status"], verdict["exit"]) == ("absent", 3)
    assert verdict_of(accepted, "lsq", 0, "--gate")["exit"] == 0


def test_a_gate_that_compared_nothing_does_not_pass(suite: Located, capsys: pytest.CaptureFixture[str]) -> None:
    measure_all(suite)
    assert call(suite, "check", "--gate") == 3
    assert "toy/table1: 0 of 3 rows compared with their baseline" in capsys.readouterr().out
    assert call(suite, "check", "--gate", "--allow-uncompared") == 0
    call(suite, "accept")
    Store(suite.root).folder(job_of(suite, "fp").identity).record_file.unlink()
    capsys.readouterr()
    assert call(suite, "check", "--gate") == 0
    assert "toy/table1: 2 of 3 rows compared with their baseline" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--allow-uncompared belongs to --gate"):
        call(suite, "check", "--allow-uncompared")


def test_a_failure_outweighs_absence(accepted: Located, verdict_of: Judge) -> None:
    store_record(accepted, job_of(accepted, "fp"), 0.48)
    Store(accepted.root).folder(job_of(accepted, "lsq").identity).record_file.unlink()
    assert verdict_of(accepted, "lsq")["exit"] == 1


def test_absent_data_block(tmp_path: Path, verdict_of: Judge) -> None:
    data = suite_data()
    data["tiers"]["mini"]["data"] = {
        "kind": "voc", "path": "nowhere", "train": ["trainval"], "test": ["test"], "difficult": "crowd",
    }  # fmt: skip
    verdict = verdict_of(located(tmp_path, data), "lsq")
    assert (verdict["status"], verdict["exit"]) == ("blocked", 3)
    assert "nowhere" in verdict["message"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": "x"}', "\xff\x00"])
def test_corrupt_record(accepted: Located, verdict_of: Judge, content: str) -> None:
    path = Store(accepted.root).folder(job_of(accepted, "lsq").identity).record_file
    path.write_bytes(content.encode("latin-1"))
    verdict = verdict_of(accepted, "lsq", 0, "--gate")
    assert (verdict["status"], verdict["exit"]) == ("fails", 1)
    assert "not a record" in verdict["message"]


def test_record_that_is_a_folder(accepted: Located, verdict_of: Judge) -> None:
    path = Store(accepted.root).folder(job_of(accepted, "lsq").identity).record_file
    path.unlink()
    path.mkdir()
    assert verdict_of(accepted, "lsq")["status"] == "fails"


def test_record_with_a_changed_protocol(accepted: Located, verdict_of: Judge) -> None:
    job = job_of(accepted, "lsq")
    store_record(accepted, job, protocol={**job.raw, "bits": "8/8"})
    verdict = verdict_of(accepted, "lsq")
    assert verdict["status"] == "fails" and "its protocol is not the job's" in verdict["message"]


def test_another_environment(accepted: Located, verdict_of: Judge) -> None:
    environment = {**record_data(job_of(accepted, "lsq"))["environment"], "threads": 4}
    store_record(accepted, job_of(accepted, "lsq"), 0.48, environment=environment, environment_key="0" * 16)
    verdict = verdict_of(accepted, "lsq")
    assert (verdict["status"], verdict["exit"]) == ("inconclusive", 3)
    for part in ("threads 4, there 1", "within one only", "AP 48.00, baseline 50.00 (-2)"):
        assert part in verdict["message"]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("data", {"side": 96}, "not compared: data pin sha256:"),
        ("metric", {"area_side": 96}, "not compared: metric.area_side 96, there 64"),
        ("calibration", {"images": 3}, "another protocol (calibration.images 3, there 2); accept a new one"),
    ],
)
def test_another_protocol_is_not_compared(
    accepted: Located, verdict_of: Judge, part: str, change: dict[str, Any], message: str
) -> None:
    data = suite_data()
    data["tiers"]["mini"][part].update(change)
    changed = located(accepted.root, data)
    measure_all(changed, lsq=0.1)
    verdict = verdict_of(changed, "lsq")
    assert (verdict["status"], verdict["exit"]) == ("inconclusive", 3)
    assert message in verdict["message"]


def test_no_baseline(suite: Located, verdict_of: Judge) -> None:
    measure_all(suite)
    verdict = verdict_of(suite, "lsq")
    assert (verdict["status"], verdict["exit"]) == ("no baseline", 0)


def test_each_repetition_has_its_verdict(tmp_path: Path, verdict_of: Judge) -> None:
    data = suite_data()
    data["tiers"]["mini"]["seeds"] = 2
    suite = located(tmp_path, data)
    measure_all(suite)
    call(suite, "accept")
    store_record(suite, job_of(suite, "lsq", 1), 0.3)
    assert verdict_of(suite, "lsq", 0)["status"] == "holds"
    assert verdict_of(suite, "lsq", 1)["status"] == "regressed"


def test_reported_only_row_never_fails(accepted: Located, verdict_of: Judge) -> None:
    verdict = verdict_of(accepted, "hardet", None)
    assert (verdict["status"], verdict["message"], verdict["exit"]) == ("not run", "no recipe was released", 0)


def test_references_wait_for_tier_paper(accepted: Located, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    call(accepted, "check", "--json")
    verdicts = json.loads(capsys.readouterr().out)["suites"][0]["verdicts"]
    found = {v["row"]: v["message"] for v in verdicts if v["kind"] == "reference"}
    assert found == {
        "fp": "not run at tier paper",
        "lsq": "not run at tier paper",
        "hardet": "no recipe was released",
    }
    assert {v["status"] for v in verdicts if v["kind"] == "reference"} == {"not run"}


def test_one_run_at_tier_paper_is_inconclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = suite_data()
    data["tiers"]["paper"] = data["tiers"]["mini"]
    data["rows"][0]["published"] = "retinanet-r18-lsq-hardet-w2a2"
    suite = located(tmp_path, data)
    measure_all(suite, "paper")
    assert call(suite, "check", "--json", "--tier", "paper") == 0
    verdicts = json.loads(capsys.readouterr().out)["suites"][0]["verdicts"]
    found = {v["row"]: (v["status"], v["message"]) for v in verdicts if v["kind"] == "reference"}
    assert found["lsq"] == ("inconclusive", "AP 50.00, published 29.3: one run has no interval over seeds")
    assert found["fp"][0] == "inconclusive" and "no verdict may rest on this number" in found["fp"][1]


def test_text_says_row_verdict_and_counts(accepted: Located, capsys: pytest.CaptureFixture[str]) -> None:
    store_record(accepted, job_of(accepted, "lsq"), 0.48)
    capsys.readouterr()
    assert call(accepted, "check") == 1
    text = capsys.readouterr().out
    assert "toy/table1, tier mini" in text and "toy/table1: 2 holds, 1 regressed, 1 not run" in text
    assert "Published numbers: not run at tier paper." in text


def test_broken_baseline_is_one_line(accepted: Located) -> None:
    baseline_file(accepted, "mini").write_text("{}")
    with pytest.raises(BenchError, match=r"table1\.mini\.json: not a baseline"):
        call(accepted, "check", "--json")


SCRIPT = """
import argparse, json, sys
from pathlib import Path
from bench.cli import check, table
parser = argparse.ArgumentParser()
parser.add_argument("--root", type=Path)
commands = parser.add_subparsers()
for module in (check, table):
    module.add_parser(commands)
args = parser.parse_args(sys.argv[1:])
args.run(args)
print("\\n" + json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
THIRD_PARTY = {"annotated_types", "bench", "cython_runtime", "orjson", "pydantic", "pydantic_core", "tabulate",
               "typing_extensions", "typing_inspection", "wcwidth", "yaml"}  # fmt: skip


@pytest.mark.parametrize("command", ["check", "table"])
def test_loads_nothing_slow(accepted: Located, command: str) -> None:
    arguments = ["--root", str(accepted.root), command, NAME]
    # Without site, whose hooks import things of their own; so an editable install is named here.
    path = [str(Path(bench.__file__).parent.parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {path!r}\n{SCRIPT}", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    foreign = {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert foreign <= THIRD_PARTY, foreign - THIRD_PARTY


@pytest.mark.parametrize(("ap", "status"), [(0.293, "reproduced"), (0.25, "not reproduced")])
def test_references_at_tier_paper_over_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ap: float, status: str
) -> None:
    data = suite_data()
    data["tiers"] = {"paper": data["tiers"]["mini"] | {"seeds": 3}}
    data["rows"][2].pop("pins")
    suite = located(tmp_path, data)
    for job in plan(suite, "paper"):
        store_record(suite, job, ap + job.repetition / 1000)
    assert call(suite, "check", "--json", "--tier", "paper") == 0, (
        "a verdict on a published number never makes the command fail"
    )
    verdicts = json.loads(capsys.readouterr().out)["suites"][0]["verdicts"]
    found = next(v for v in verdicts if v["kind"] == "reference" and v["row"] == "lsq")
    assert found["status"] == status
    assert "(95 % for one further run, from 3) ± 0.5 (margin); published 29.3" in found["message"]


def one_checkpoint(folder: Path) -> Located:
    """A row that is a published checkpoint, at tier paper."""
    data = suite_data()
    data["rows"] = [{key: value for key, value in data["rows"][0].items() if key != "recipe"}]
    data["policies"] = {}
    paper = data["tiers"].pop("mini")
    paper["detectors"]["retinanet-r18"]["init"] = {"kind": "checkpoint", "file": "a-00000000.pth"}
    del paper["recipes"], paper["calibration"]
    data["tiers"]["paper"] = paper
    return located(folder, data)


@pytest.mark.parametrize(("ap", "status"), [(0.3164, "reproduced"), (0.3184, "not reproduced")])
def test_a_published_checkpoint_needs_one_evaluation(tmp_path: Path, ap: float, status: str) -> None:
    suite = one_checkpoint(tmp_path)
    results = collect(suite, "paper", lambda job: JobResult(job, "done", record(job, ap)))
    (found,) = judge_references(results, published_table(suite))
    assert found.status == status and "± 0.1 (margin of an evaluation); published 31.7" in found.message


@pytest.mark.parametrize(("ap", "word"), [(0.3164, "compatible"), (0.3184, "not compatible")])
def test_a_number_of_unknown_placement_is_at_most_compatible(tmp_path: Path, ap: float, word: str) -> None:
    suite = one_checkpoint(tmp_path)
    results = collect(suite, "paper", lambda job: JobResult(job, "done", record(job, ap)))
    table = published_table(suite)
    assert table is not None
    rows = tuple(row.model_copy(update={"gate": False, "unknown": "placement"}) for row in table.rows)
    (found,) = judge_references(results, table.model_copy(update={"rows": rows}))
    assert found.status == "inconclusive" and found.message.startswith(f"{word}, placement unknown: AP ")
