"""`check --gate` between two environments: what is compared, by which rule, and that a planted regression is caught."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories import NAME, call, job_of, located, record_data, store_record, suite_data

from bench.errors import UsageError
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.report.make import make_table
from bench.schema.load import Located
from bench.verdict.baseline import load
from bench.verdict.external import load_external

Capture = pytest.CaptureFixture[str]
HERE, THERE = "e" * 16, "0" * 16
SPREAD = (0.0, 0.004, -0.003, 0.002, -0.001)
WEIGHTS = {"start_sha256": "c" * 64}


def suite_of(root: Path) -> Located:
    """Rows `fp` and `fp-ft`, `lsq` trained with five seeds, and `ptq`, which is quantized after training."""
    data = suite_data()
    data["tiers"]["mini"]["seeds"] = 5
    ptq = {**data["rows"][2], "id": "ptq", "label": "PTQ"}
    for key in ("recipe", "published"):
        del ptq[key]
    data["rows"].insert(3, ptq)
    return located(root, data)


def measure(suite: Located, key: str, **move: float) -> None:
    """Runs of all jobs in an environment; `move` is added to the AP of all runs of a row."""
    for job in plan(suite, "mini"):
        spread = 0.0 if job.row.id == "ptq" else SPREAD[job.repetition]
        changes: dict[str, Any] = {"training": None, **WEIGHTS} if job.row.id == "ptq" else {}
        ap = 0.45 + spread + move.get(job.row.id.replace("-", "_"), 0.0)
        environment = {**record_data(job)["environment"], "threads": 1 if key == HERE else 4}
        store_record(suite, job, ap, environment=environment, environment_key=key, **changes)


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    """Accepted in one environment; the local records are of another."""
    suite = suite_of(tmp_path)
    measure(suite, HERE)
    call(suite, "accept")
    measure(suite, THERE)
    return suite


def judged(suite: Located, capsys: Capture, row: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and the verdicts on a row."""
    capsys.readouterr()
    code = call(suite, "check", "--gate", "--json", *options)
    verdicts = json.loads(capsys.readouterr().out)["suites"][0]["verdicts"]
    return code, [v for v in verdicts if v["row"] == row and v["kind"] in ("baseline", "external")]


def test_what_is_compared_elsewhere(suite: Located, capsys: Capture) -> None:
    code, (found,) = judged(suite, capsys, "lsq")
    assert (code, found["status"], found["repetition"]) == (0, "holds", None)
    assert "(mean of 5 runs), baseline 45.04 (of 5), +0.00; the smallest regression" in found["message"]
    _, runs = judged(suite, capsys, "ptq")
    assert [run["status"] for run in runs] == ["holds"] * 5
    _, (fp,) = judged(suite, capsys, "fp")
    assert fp["status"] == "inconclusive"
    assert "five runs a side would tell (1 here, 1 there; `run --seeds 5`)" in fp["message"]
    assert "`accept --tolerance fp=absolute:POINTS`" in fp["message"]
    assert call(suite, "check", "--gate") == 0
    assert "3 of 4 rows compared with their baseline" in capsys.readouterr().out


def test_the_smallest_regression_of_a_trained_row(suite: Located, capsys: Capture) -> None:
    _, (found,) = judged(suite, capsys, "lsq")
    seen = re.search(r"smallest regression that this sees is ([\d.]+) points", found["message"])
    assert seen is not None
    points = float(seen[1])
    assert 0.1 < points < 1.0
    measure(suite, THERE, lsq=-points / 100)
    code, (found,) = judged(suite, capsys, "lsq")
    assert (code, found["status"]) == (1, "regressed") and f"-{points:.2f}" in found["message"]
    measure(suite, THERE, lsq=-points / 200)
    assert judged(suite, capsys, "lsq")[0] == 0
    measure(suite, THERE, lsq=points / 100)
    code, (found,) = judged(suite, capsys, "lsq")
    assert (code, found["status"]) == (1, "improved")


@pytest.mark.parametrize(
    ("move", "code", "status"), [(-0.01, 1, "regressed"), (-0.0019, 0, "holds"), (0.01, 1, "improved")]
)
def test_an_evaluated_row(suite: Located, capsys: Capture, move: float, code: int, status: str) -> None:
    measure(suite, THERE, ptq=move)
    found_code, runs = judged(suite, capsys, "ptq")
    assert (found_code, [run["status"] for run in runs]) == (code, [status] * 5)
    assert "the same weights in another environment (threads 4, there 1)" in runs[0]["message"]
    assert f"AP {45 + 100 * move:.2f}, baseline 45.00" in runs[0]["message"]


@pytest.mark.parametrize("sha", ["d" * 64, None])
def test_other_weights_are_not_the_same(suite: Located, capsys: Capture, sha: str | None) -> None:
    """Five runs on both sides then judge it as a trained row; a single one says what is lacking."""
    for job in plan(suite, "mini"):
        if job.row.id == "ptq":
            store_record(suite, job, 0.40, environment_key=THERE, start_sha256=sha)
    code, (found,) = judged(suite, capsys, "ptq")
    assert (code, found["status"]) == (1, "regressed") and "mean of 5 runs" in found["message"]


def test_five_runs_a_side(tmp_path: Path, capsys: Capture) -> None:
    """Four are too few; a fifth of a seed that the baseline lacks counts as any other."""
    suite = suite_of(tmp_path)
    measure(suite, HERE)
    call(suite, "accept")
    Store(suite.root).folder(job_of(suite, "lsq", 4).identity).record_file.unlink()
    for seed in range(4):
        store_record(suite, job_of(suite, "lsq", seed), 0.40 + SPREAD[seed], environment_key=THERE)
    _, runs = judged(suite, capsys, "lsq")
    assert {run["status"] for run in runs} == {"inconclusive"} and "(4 here, 5 there" in runs[0]["message"]
    sixth = next(j for j in plan(suite, "mini", seeds=6) if (j.row.id, j.repetition) == ("lsq", 5))
    fifth = job_of(suite, "lsq", 4)
    store_record(suite, fifth, 0.45 + SPREAD[4])  # as accepted, so the sixth is found behind it
    store_record(suite, sixth, 0.40, environment_key=THERE)
    code, found = judged(suite, capsys, "lsq")
    together = next(one for one in found if one["repetition"] is None)
    assert (code, together["status"]) == (1, "regressed") and "mean of 5 runs" in together["message"]


def test_a_declared_tolerance_is_for_elsewhere_too(suite: Located, capsys: Capture) -> None:
    call(suite, "accept", "--tolerance", "fp=absolute:0.3", "--reason", "another BLAS")
    capsys.readouterr()
    for move, code, status in ((-0.002, 0, "holds"), (-0.01, 1, "regressed")):
        measure(suite, THERE, fp=move)
        found_code, (found,) = judged(suite, capsys, "fp")
        assert (found_code, found["status"]) == (code, status)
        assert "tolerance 0.3 (absolute: another BLAS)" in found["message"]


def test_no_environment_displaces_another(suite: Located, capsys: Capture) -> None:
    call(suite, "accept")
    baseline = load(suite, "mini")
    assert baseline is not None and len(baseline.records("lsq", 3)) == 2
    assert {e.record.environment_key for e in baseline.entries} == {HERE, THERE}
    before = (suite.root / "baselines" / f"{NAME}.mini.json").read_bytes()
    call(suite, "accept")
    assert (suite.root / "baselines" / f"{NAME}.mini.json").read_bytes() == before
    for key in (HERE, THERE):
        measure(suite, key)
        assert {run["message"] for row in ("fp", "lsq", "ptq") for run in judged(suite, capsys, row)[1]} == {""}
        measure(suite, key, fp=-0.01)
        code, (found,) = judged(suite, capsys, "fp")
        assert (code, found["status"]) == (1, "regressed") and "(-1)" in found["message"]


def test_a_new_protocol_displaces_all(suite: Located) -> None:
    call(suite, "accept")
    data = suite_data()
    data["tiers"]["mini"]["calibration"]["images"] = 3
    changed = located(suite.root, data)
    measure(changed, HERE)
    call(changed, "accept")
    baseline = load(changed, "mini")
    assert baseline is not None and [len(baseline.records(row, 0)) for row in ("fp", "lsq")] == [2, 1]


def test_a_quantizer_that_is_gone_is_named(tmp_path: Path, capsys: Capture) -> None:
    data = suite_data()
    del data["rows"][2]["pins"]
    suite = located(tmp_path, data)
    sites = ("backbone.conv1.weight 8 signed", "bbox_head.conv.weight 4 signed", "bbox_head.conv.input 4 signed")
    for job in plan(suite, "mini"):
        store_record(suite, job, placement_sites=() if job.row.bits.is_fp else sites)
    call(suite, "accept")
    lost = {"weights": 2, "activations": 5, "edge": 2, "unsigned": 4}
    store_record(suite, job_of(suite, "lsq"), environment_key=THERE, placement=lost, placement_sites=sites[::2])
    code, (found,) = judged(suite, capsys, "lsq")
    assert (code, found["status"]) == (1, "changed")
    assert found["message"] == "placement: weights 2, there 3; no quantizer bbox_head.conv.weight 4 signed"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("lsq=absolute:0.3", {"kind": "absolute", "metric": "AP", "value": 0.003, "reason": "why not"}),
        ("lsq=ratio:1:fp", {"kind": "ratio", "metric": "AP", "row": "fp", "value": 0.01, "reason": "why not"}),
        ("lsq=statistical", {"kind": "statistical", "metric": "AP", "margin": 0.0, "reason": "why not"}),
        ("lsq=statistical:0.2", {"kind": "statistical", "metric": "AP", "margin": 0.002, "reason": "why not"}),
    ],
)
def test_tolerances_are_declared_on_the_command_line(suite: Located, text: str, kept: dict[str, Any]) -> None:
    def tolerances() -> Any:
        content = json.loads((suite.root / "baselines" / f"{NAME}.mini.json").read_text())
        return content["tolerances"]

    entries = load(suite, "mini")
    call(suite, "accept", "--tolerance", text, "--reason", " why\nnot ")
    after = load(suite, "mini")
    assert entries is not None and after is not None and after.entries == entries.entries
    assert tolerances() == {"default": {"kind": "exact"}, "rows": {"lsq": kept}}
    call(suite, "accept", "--tolerance", "*=absolute:0.1", "--tolerance", "lsq=exact", "--reason", "x")
    assert tolerances()["default"]["value"] == 0.001 and tolerances()["rows"] == {"lsq": {"kind": "exact"}}
    call(suite, "accept", "--tolerance", "*=exact")
    call(suite, "accept", "--tolerance", "lsq=exact")
    assert tolerances() == {"default": {"kind": "exact"}, "rows": {}}


WRONG = [
    (["--tolerance", "lsq"], "--tolerance lsq: must be ROW=TOLERANCE"),
    (["--tolerance", "=exact"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=wide"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute:x"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute:nan"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute:-1", "--reason", "x"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute:0", "--reason", "x"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute:101", "--reason", "x"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=ratio:1"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=exact:1"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=statistical:1:2"], "must be ROW=TOLERANCE"),
    (["--tolerance", "lsq=absolute:0.3"], "needs --reason TEXT"),
    (["--tolerance", "lsq=absolute:0.3", "--reason", " "], "needs --reason TEXT"),
    (["--tolerance", "nope=exact"], "has no row 'nope'; it has fp, fp-ft, lsq, ptq"),
    (["--tolerance", "lsq=ratio:1:nope", "--reason", "x"], "has no row 'nope'"),
    (["--reason", "x"], "--reason belongs to --tolerance"),
    (["--tolerance", "lsq=exact", "--rows", "lsq"], "goes without --rows, --checkpoints and --predictions"),
    (["--tolerance", "lsq=exact", "--checkpoints"], "goes without --rows, --checkpoints and --predictions"),
    (["--external", "--checkpoints"], "--checkpoints: submitted predictions have none"),
    (["--external"], "nothing was submitted at tier mini"),
    (["--external", "--tolerance", "lsq=exact"], "there is no baseline yet; `qdet-bench accept toy/table1 --external`"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_calls_of_accept(suite: Located, options: list[str], words: str) -> None:
    before = (suite.root / "baselines" / f"{NAME}.mini.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        call(suite, "accept", *options)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert (suite.root / "baselines" / f"{NAME}.mini.json").read_bytes() == before


def test_tolerances_need_a_baseline(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no baseline yet; `qdet-bench accept toy/table1` writes one"):
        call(suite_of(tmp_path), "accept", "--tolerance", "lsq=exact")


def submitted(suite: Located, ap: float | None = None, *, count: int = 100) -> Path:
    """Predictions of so many percent of the objects, submitted to row `fp`; with `ap` the record is changed to it."""
    from bench.data.load import load as load_data

    gt = load_data(suite.suite.tiers["mini"].data, "test", suite.root, Store(suite.root).data_cache).coco
    found = [{"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
             for a in gt["annotations"]]  # fmt: skip
    path = suite.root / "dt.json"
    path.write_text(json.dumps(found[: max(1, len(found) * count // 100)]))
    call_submit(suite, path)
    file = suite.root / "results" / "local" / "external" / NAME / "mini" / "fp.0.json"
    if ap is not None:
        content = json.loads(file.read_text())
        content["metrics"]["AP"] = ap
        file.write_text(json.dumps(content))
    return file


def call_submit(suite: Located, path: Path) -> None:
    from bench.cli.main import main

    root = ["--root", str(suite.root)]
    assert main([*root, "submit", NAME, "fp", "--dt", str(path), "--replace"]) == 0


def test_submitted_predictions_have_a_baseline(tmp_path: Path, capsys: Capture) -> None:
    suite = located(tmp_path)
    file = submitted(suite)
    assert judged(suite, capsys, "fp")[0] == 3  # nothing to compare with
    call(suite, "accept", "--external")
    baseline = load_external(suite, "mini")
    assert baseline is not None and [e.record.submitted.file for e in baseline.entries] == ["dt.json"]
    code, found = judged(suite, capsys, "fp")
    assert (code, found[-1]["kind"], found[-1]["status"]) == (0, "external", "holds")

    ap = json.loads(file.read_text())["metrics"]["AP"]
    submitted(suite, count=60)
    worse = json.loads(file.read_text())["metrics"]["AP"]
    code, found = judged(suite, capsys, "fp")
    assert (code, found[-1]["status"]) == (1, "regressed") and worse < ap - 0.01
    assert f"AP {100 * worse:.2f}, baseline {100 * ap:.2f}" in found[-1]["message"]
    # The table says the same.
    (line,) = make_table(suite, "mini", committed=False).rows
    assert line[0] == "FP (external)" and line[-1] == "regressed"


@pytest.mark.parametrize(
    ("move", "code", "status"), [(-0.01, 1, "regressed"), (0.01, 1, "improved"), (-0.004, 0, "holds")]
)
def test_one_point_of_submitted_predictions(
    tmp_path: Path, capsys: Capture, move: float, code: int, status: str
) -> None:
    suite = located(tmp_path)
    submitted(suite, 0.5)
    call(suite, "accept", "--external")
    call(suite, "accept", "--external", "--tolerance", "fp=absolute:0.5", "--reason", "our own machine")
    submitted(suite, 0.5 + move)
    found_code, found = judged(suite, capsys, "fp")
    assert (found_code, found[-1]["status"]) == (code, status)
    assert f"AP {50 + 100 * move:.2f}, baseline 50.00" in found[-1]["message"]
