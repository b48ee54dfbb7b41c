"""Faults planted in accepted results: each is caught by `check`, with a message that names it."""

import json
from pathlib import Path
from typing import Any

import pytest
from factories import call, job_of, located, measure_all, record_data, store_record, suite_data

from bench.errors import BenchError
from bench.records.files import write_json
from bench.records.store import Store
from bench.schema.load import Located
from bench.verdict.baseline import baseline_file

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    suite = located(tmp_path)
    measure_all(suite)
    call(suite, "accept")
    return suite


def judged(suite: Located, capsys: Capture, row: str = "lsq", *, gate: bool = True) -> tuple[int, str, str]:
    """Exit code, status and message."""
    capsys.readouterr()
    code = call(suite, "check", "--json", *(["--gate"] if gate else []))
    verdicts = json.loads(capsys.readouterr().out)["suites"][0]["verdicts"]
    found = next(v for v in verdicts if (v["row"], v["repetition"]) == (row, 0) and v["kind"] != "reference")
    return code, found["status"], found["message"]


def plant(suite: Located, change: dict[str, Any]) -> None:
    job = job_of(suite, "lsq")
    path = Store(suite.root).folder(job.identity).record_file
    path.write_text(json.dumps(record_data(job) | change))  # as a hand would: NaN passes


def test_nothing_planted(suite: Located, capsys: Capture) -> None:
    assert judged(suite, capsys)[:2] == (0, "holds")


@pytest.mark.parametrize(("ap", "status", "move"), [(0.49, "regressed", "(-1)"), (0.51, "improved", "(+1)")])
def test_one_point(suite: Located, capsys: Capture, ap: float, status: str, move: str) -> None:
    store_record(suite, job_of(suite, "lsq"), ap)
    code, found, message = judged(suite, capsys)
    assert (code, found) == (1, status)
    assert f"AP {100 * ap:.2f}, baseline 50.00 {move}" in message


def test_nan(suite: Located, capsys: Capture) -> None:
    plant(suite, {"metrics": {"AP": float("nan"), "AP50": 0.7}})
    code, found, message = judged(suite, capsys)
    assert (code, found) == (1, "fails") and "metrics.AP" in message and "finite" in message


def test_metric_variant(suite: Located, capsys: Capture) -> None:
    protocol = {**job_of(suite, "lsq").raw, "metric": {"variant": "voc07", "iou": 0.5, "pixels": "inclusive"}}
    plant(suite, {"protocol": protocol, "metrics": {"mAP": 0.5}})
    code, found, message = judged(suite, capsys)
    assert (code, found) == (1, "fails") and "metric.variant coco -> voc07" in message


def test_data_pin_of_the_facts(suite: Located, capsys: Capture) -> None:
    data = {**record_data(job_of(suite, "lsq"))["data"], "pin": f"sha256:{'0' * 64}"}
    plant(suite, {"data": data})
    code, found, message = judged(suite, capsys)
    assert (code, found) == (1, "fails") and message.startswith("data pin sha256:000000000000…, its protocol says")


def test_data_pin_of_the_protocol(suite: Located, capsys: Capture) -> None:
    protocol = job_of(suite, "lsq").raw
    plant(suite, {"protocol": {**protocol, "data": {**protocol["data"], "pin": f"sha256:{'0' * 64}"}}})
    code, found, message = judged(suite, capsys)
    assert (code, found) == (1, "fails") and "data.pin" in message and "-> 000000000000" in message


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("metric", {"variant": "voc07"}, "metric.variant voc07, there coco"),
        ("data", {"side": 96}, "not compared: data pin sha256:"),
    ],
)
def test_a_suite_that_was_changed_is_incomplete_not_well(
    suite: Located, capsys: Capture, part: str, change: dict[str, Any], words: str
) -> None:
    """Whoever points a suite at her own data has done nothing wrong; but no baseline vouches for her numbers."""
    data = suite_data()
    mini = data["tiers"]["mini"]
    mini[part] = change if part == "metric" else mini[part] | change
    changed = located(suite.root, data)
    measure_all(changed)
    if part == "metric":
        store_record(changed, job_of(changed, "lsq"), metrics={"mAP": 0.5})
        for row in ("fp", "fp-ft"):
            store_record(changed, job_of(changed, row), metrics={"mAP": 0.5})
    code, found, message = judged(changed, capsys, gate=False)
    assert (code, found) == (3, "inconclusive") and words in message


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("data", "pin"), f"sha256:{'0' * 64}", "data pin sha256:000000000000…, its protocol says"),
        (("protocol", "metric"), {"variant": "voc07"}, r"its protocol \(data, metric, schedule\)"),
        (("protocol", "data"), {"pin": "sha256:0"}, r"its protocol \(data, metric, schedule\)"),
    ],
)
def test_a_baseline_that_was_changed_is_refused(suite: Located, path: tuple[str, str], value: Any, words: str) -> None:
    file = baseline_file(suite, "mini")
    content = json.loads(file.read_text())
    content["entries"][2]["record"][path[0]][path[1]] = value
    write_json(file, content)
    with pytest.raises(BenchError, match=f"the record of lsq seed 0 was changed: {words}"):
        call(suite, "check")
