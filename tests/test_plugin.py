"""The pytest plugin, as a user runs it in a folder of her own: what it collects, and what it catches."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from factories import PINS, call, job_of, located, measure_all, record_data, store_record, suite_data

from bench.plan.jobs import plan
from bench.records.files import write_json
from bench.records.store import Store
from bench.schema.load import Located
from bench.verdict.baseline import load

CLAIM = {
    "id": "gain", "text": "FP+ft beats FP", "kind": "difference", "rows": ["fp-ft", "fp"], "metric": "AP",
    "source": "a test",
}  # fmt: skip


def suite_of(root: Path, seeds: int = 1) -> Located:
    data = suite_data(claims=[CLAIM])
    data["tiers"]["mini"]["seeds"] = seeds
    return located(root, data)


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    """Measured and accepted."""
    suite = suite_of(tmp_path)
    measure_all(suite)
    call(suite, "accept")
    return suite


def run(root: Path, *options: str, code: int | None = 0, plugins: tuple[str, ...] = ()) -> str:
    """`pytest suites` in a new process, whose only plugin is ours; what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PROJECT)}
    named = [word for plugin in ("bench.testing.plugin", *plugins) for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", *named, "-p", "no:cacheprovider", "--strict-markers", "-ra"]
    paths = [] if any(not option.startswith("-") and "/" in option for option in options) else ["suites"]
    done = subprocess.run([*command, *options, *paths], cwd=root, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert code is None or done.returncode == code, said
    return said


def counts(said: str) -> dict[str, int]:
    last = said.strip().splitlines()[-1]
    return {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) (\w+)", last.split(" in ")[0])}


def names(said: str) -> list[str]:
    """Names of the tests that `--collect-only -q` lists."""
    return [line.split("::")[1] for line in said.splitlines() if "::" in line]


def test_one_test_for_each_row_pin_claim_and_table(suite: Located) -> None:
    (suite.root / "suites" / "toy" / "dvc.yaml").write_text("stages: {}\n")
    (suite.root / "other.yaml").write_text("a: 1\n")
    (suite.root / "elsewhere").mkdir()
    (suite.root / "elsewhere" / "x.yaml").write_text("a: 1\n")
    listed = names(run(suite.root, "--collect-only", "-q", "./"))
    assert listed == [
        "mini:row:fp", "mini:row:fp-ft", "mini:row:lsq", "mini:pins:lsq", "mini:claim:gain", "mini:table:committed",
    ]  # fmt: skip
    assert counts(run(suite.root)) == {"passed": 5, "skipped": 1}  # of a claim one pair tells nothing


def test_markers_and_names_select(suite: Located) -> None:
    data = suite_data()
    data["tiers"]["paper"] = data["tiers"]["mini"]
    located(suite.root, data, "toy/two")
    assert set(names(run(suite.root, "--collect-only", "-q", "-m", "qdet_paper and qdet_reference"))) == {
        "paper:reference:fp", "paper:reference:lsq",
    }  # fmt: skip
    assert counts(run(suite.root, "-m", "qdet_mini", "-k", "table1 and pins"))["passed"] == 1


def plant(suite: Located, **changes: Any) -> None:
    job = job_of(suite, "lsq")
    path = Store(suite.root).folder(job.identity).record_file
    path.write_text(json.dumps(record_data(job) | changes))  # as a hand would: NaN passes


def elsewhere(suite: Located, move: float, key: str = "0" * 16) -> None:
    for job in plan(suite, "mini"):
        ap = 0.5 + job.repetition / 1000 + (move if job.row.id == "lsq" else 0)
        store_record(suite, job, ap, environment_key=key)


PLANTED: dict[str, tuple[Callable[[Located], None], str]] = {
    "one point less": (lambda s: store_record(s, job_of(s, "lsq"), 0.49), "AP 49.00, baseline 50.00 (-1)"),
    "one point more": (lambda s: store_record(s, job_of(s, "lsq"), 0.51), "lsq seed 0: improved: AP 51.00"),
    "not a number": (lambda s: plant(s, metrics={"AP": float("nan")}), "metrics.AP"),
    "another metric": (
        lambda s: plant(s, protocol={**job_of(s, "lsq").raw, "metric": {"variant": "voc07"}}, metrics={"mAP": 0.5}),
        "metric.variant coco -> voc07",
    ),
    "another data pin": (
        lambda s: plant(s, data={**record_data(job_of(s, "lsq"))["data"], "pin": f"sha256:{'0' * 64}"}),
        "data pin sha256:000000000000…, its protocol says",
    ),
    "a quantizer of the head is gone": (
        lambda s: plant(s, placement={**PINS, "weights": PINS["weights"] - 1}),
        "placement: weights 2, pinned 3",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_in_a_run(suite: Located, name: str) -> None:
    fault, words = PLANTED[name]
    fault(suite)
    said = run(suite.root, code=1)
    assert words in said and "toy/table1:mini:row:lsq" in said
    assert counts(said)["failed"] == (2 if "quantizer" in name else 1)


def test_planted_in_runs_of_another_environment(tmp_path: Path) -> None:
    """The smallest regression that is printed is caught; nothing is where nothing moved."""
    suite = suite_of(tmp_path, seeds=5)
    elsewhere(suite, 0.0, "e" * 16)
    call(suite, "accept")
    elsewhere(suite, -0.05)
    said = run(suite.root, "-k", "row:lsq", code=1)
    seen = re.search(r"smallest regression that this sees is ([\d.]+) points", said)
    assert seen is not None and "regressed" in said
    for part, code in ((1, 1), (0, 0)):
        elsewhere(suite, -part * float(seen[1]) / 100)
        assert counts(run(suite.root, "-k", "row:lsq", code=code))["failed" if code else "passed"] == 1


def test_planted_in_an_evaluated_row_of_another_environment(tmp_path: Path) -> None:
    """A row that is quantized after training, and started from the same weights on both sides."""
    data = suite_data()
    data["rows"].append({**data["rows"][2], "id": "ptq", "label": "PTQ"})
    for key in ("recipe", "published"):
        del data["rows"][-1][key]
    suite = located(tmp_path, data)
    for key, ap in (("e" * 16, 0.45), ("0" * 16, 0.44)):
        environment = {**record_data(job_of(suite, "ptq"))["environment"], "threads": 1 if key[0] == "e" else 4}
        for job in plan(suite, "mini"):
            more = {"start_sha256": "c" * 64} if job.row.id == "ptq" else {}
            store_record(suite, job, ap, environment=environment, environment_key=key, **more)
        if key[0] == "e":
            call(suite, "accept")
    said = run(suite.root, "-k", "row:ptq", code=1)
    assert "regressed" in said and "the same weights in another environment" in said
    assert counts(said)["failed"] == 1


def without_runs(suite: Located) -> None:
    for path in Store(suite.root).jobs.glob("*/record.json"):
        path.unlink()


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("metric", {"variant": "voc07"}, "metric.variant coco -> voc07"),
        ("data", {"side": 96}, "data.side 64 -> 96"),
    ],
)
def test_planted_in_the_suite_of_committed_records(suite: Located, part: str, value: Any, words: str) -> None:
    without_runs(suite)
    assert "failed" not in run(suite.root)
    data = suite_data()
    mini = data["tiers"]["mini"]
    mini[part] = value if part == "metric" else mini[part] | value
    located(suite.root, data)
    said = run(suite.root, "-k", "row:lsq", code=1)
    assert f"lsq seed 0, committed: the suite declares another {part} now: " in said and words in said


def test_planted_in_committed_records(suite: Located) -> None:
    without_runs(suite)
    file = suite.root / "baselines" / "toy" / "table1.mini.json"
    content = json.loads(file.read_text())
    content["entries"][2]["record"]["metrics"]["AP"] += 0.01
    write_json(file, content)
    said = run(suite.root, code=1)
    assert "toy/table1:mini:table:committed" in said and "is not what its records make" in said
    content["entries"][2]["record"]["placement"]["weights"] -= 1
    write_json(file, content)
    assert "lsq seed 0, committed: placement: weights 2, pinned 3" in run(suite.root, code=1)


def test_an_earlier_protocol_is_a_warning(suite: Located) -> None:
    without_runs(suite)
    data = suite_data(claims=[CLAIM])
    data["tiers"]["mini"]["calibration"]["images"] = 3
    located(suite.root, data)
    said = run(suite.root, "-k", "row:lsq")
    assert "QdetWarning" in said and "of an earlier protocol" in said and "calibration.images 2 -> 3" in said


def test_absent_records_skip_with_their_command_and_fail_when_strict(tmp_path: Path) -> None:
    suite_of(tmp_path)
    said = run(tmp_path)
    command = "qdet-bench run toy/table1 --tier mini --rows lsq"
    assert counts(said) == {"skipped": 5} and f"no record of seed 0: {command}" in said
    assert re.search(r"SKIPPED \[1\] suites/toy/table1\.yaml:\d+: no record", said)
    assert counts(run(tmp_path, "--qdet-strict", code=1)) == {"failed": 5}
    assert counts(run(tmp_path, "--qdet-committed", code=5)) == {}


def test_committed_records_alone(suite: Located) -> None:
    store_record(suite, job_of(suite, "lsq"), 0.1)
    assert counts(run(suite.root, code=1))["failed"] == 1
    assert counts(run(suite.root, "--qdet-committed", "--qdet-strict")) == {"passed": 5, "skipped": 1}


def test_a_claim_that_fails_is_skipped_with_its_words_where_it_is_an_open_question(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, seeds=5)
    measure_all(suite, fp_ft=0.3)
    assert "FP+ft beats FP: fails" in run(suite.root, "-k", "claim", code=1)
    data = suite_data(claims=[{**CLAIM, "gates": False}])
    data["tiers"]["mini"]["seeds"] = 5
    located(suite.root, data)
    said = run(suite.root, "-k", "claim")
    assert counts(said)["skipped"] == 1 and "FP+ft beats FP: fails" in said


def test_baselines_are_updated_after_the_difference_was_shown(suite: Located) -> None:
    file = suite.root / "baselines" / "toy" / "table1.mini.json"
    before = file.read_bytes()
    assert "qdet baselines" in run(suite.root, "--qdet-update-baselines") and file.read_bytes() == before
    store_record(suite, job_of(suite, "lsq"), 0.52)
    plant_bad = job_of(suite, "fp-ft")
    store_record(suite, plant_bad, metrics={"AP50": 0.1})
    said = run(suite.root, "--qdet-update-baselines", code=1)
    assert "fp-ft seed 0: fails: AP is absent" in said
    shown = said.index("lsq seed 0: AP 50.00 -> 52.00 (+2.00)")
    assert shown < said.index(f"wrote {file}")
    baseline = load(suite, "mini")
    assert baseline is not None
    assert [baseline.records(row, 0)[0].metrics.get("AP") for row in ("fp", "fp-ft", "lsq")] == [0.5, 0.5, 0.52]
    assert "52.00" in (suite.root / "results" / "toy" / "table1.mini.md").read_text()


def test_only_rows_that_were_tested_are_accepted(suite: Located) -> None:
    """`-k` and `-m` choose what is accepted too: the others' tests were never shown."""
    file = suite.root / "baselines" / "toy" / "table1.mini.json"
    before = file.read_bytes()
    for row in ("fp", "lsq"):
        store_record(suite, job_of(suite, row), 0.52)
    run(suite.root, "-k", "claim", "--qdet-update-baselines")
    assert file.read_bytes() == before
    said = run(suite.root, "-m", "qdet_row", "-k", "lsq", "--qdet-update-baselines", code=None)
    assert "lsq seed 0: AP 50.00 -> 52.00" in said and "fp seed 0" not in said
    baseline = load(suite, "mini")
    assert baseline is not None
    assert [baseline.records(row, 0)[0].metrics["AP"] for row in ("fp", "lsq")] == [0.5, 0.52]


def test_a_root_that_is_not_there_is_refused(suite: Located) -> None:
    (suite.root / "pytest.ini").write_text("[pytest]\nqdet_root = quantisation\n")
    assert "qdet_root: quantisation: no such folder" in run(suite.root, code=4)


def test_expected_failures_need_a_reason(suite: Located) -> None:
    store_record(suite, job_of(suite, "lsq"), 0.49)
    ini = suite.root / "pytest.ini"
    ini.write_text("[pytest]\nqdet_xfail =\n    toy/table1:mini:row:lsq\n")
    assert "a reason must follow the name" in run(suite.root, code=4)
    ini.write_text("[pytest]\nqdet_xfail =\n    toy/table1:mini:row:l*  the new kernel, issue 12\n")
    said = run(suite.root)
    assert counts(said)["xfailed"] == 1 and "the new kernel, issue 12" in said
    store_record(suite, job_of(suite, "lsq"))
    assert "[XPASS(strict)] the new kernel" in run(suite.root, code=1)
    ini.unlink()
    mark = "import pytest\ndef pytest_collection_modifyitems(items):\n    items[0].add_marker(pytest.mark.xfail)\n"
    (suite.root / "conftest.py").write_text(mark)
    assert "xfail needs a written reason" in run(suite.root, code=4)


def test_xdist_and_junit(suite: Located) -> None:
    store_record(suite, job_of(suite, "lsq"), 0.49)
    said = run(suite.root, "-n", "2", "--junitxml=report.xml", "--qdet-update-baselines", plugins=("xdist",))
    assert "lsq seed 0: AP 50.00 -> 49.00 (-1.00)" in said
    cases = list(ElementTree.parse(suite.root / "report.xml").iter("testcase"))
    assert len(cases) == 6 and {case.get("name") for case in cases} >= {"mini:row:lsq", "mini:claim:gain"}
    store_record(suite, job_of(suite, "lsq"), 0.50)
    assert counts(run(suite.root, "-n", "2", code=1, plugins=("xdist",)))["failed"] == 1


USER_TEST = """
def test_mine(qdet):
    assert qdet.record("toy/table1:lsq").metrics["AP"] > 0.4
    assert qdet.record("toy/table1:lsq:0", tier="mini").environment["threads"] == 1

def test_absent(qdet):
    qdet.record("toy/table1:lsq:7")

def test_wrong(qdet):
    qdet.record("toy/table1:nope")
"""


def test_the_fixture_in_tests_of_a_user(suite: Located) -> None:
    folder = suite.root / "tests"
    folder.mkdir()
    (folder / "test_mine.py").write_text(USER_TEST)
    said = run(suite.root, "tests/", code=1)
    assert counts(said) == {"passed": 1, "skipped": 1, "failed": 1}
    assert "no record: qdet-bench run toy/table1 --tier mini --rows lsq" in said and "has no row 'nope'" in said
    without_runs(suite)  # the committed record then
    assert counts(run(suite.root, "tests/", "--qdet-strict", code=1)) == {"passed": 1, "failed": 2}


def test_another_root_and_a_wrong_suite(suite: Located) -> None:
    outer = suite.root / "project"
    outer.mkdir()
    (outer / "pytest.ini").write_text("[pytest]\nqdet_root = quant\n")
    suite_of(outer / "quant")
    (outer / "suites").mkdir()
    (outer / "suites" / "x.yaml").write_text("a: 1\n")
    assert len(names(run(outer, "--collect-only", "-q", "./"))) == 5
    (outer / "quant" / "suites" / "bad.yaml").write_text("title: x\nrows: 3\n")
    said = run(outer, "--collect-only", "-q", "./", code=2)
    assert "bad.yaml:2" in said and "Traceback" not in said


CHECK_IMPORTS = """
import sys
def pytest_sessionfinish():
    found = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "mmdet", "numba", "pycocotools", "scipy"})
    print("loaded:", found)
"""


def test_no_torch_is_loaded(suite: Located) -> None:
    (suite.root / "conftest.py").write_text(CHECK_IMPORTS)
    assert "loaded: []" in run(suite.root, "-s")


def test_nothing_of_ours_is_loaded_where_there_is_no_suite(tmp_path: Path) -> None:
    """Every run of pytest in the environment loads the plugin, so it must cost nothing."""
    (tmp_path / "test_x.py").write_text(
        "import sys\ndef test_x():\n    assert {n for n in sys.modules if n.startswith('bench')} == "
        "{'bench', 'bench.testing', 'bench.testing.plugin'}\n    assert 'pydantic' not in sys.modules\n"
    )
    assert counts(run(tmp_path, "./")) == {"passed": 1}


def test_run_makes_what_is_absent(finished_root: Path) -> None:
    """A failed run is a failed test; what has a record is not run again."""
    store = Store(finished_root)
    finished = {path: path.stat().st_mtime_ns for path in store.jobs.glob("*/record.json")}
    assert len(finished) == 3
    (lost,) = [p for p in finished if json.loads(p.read_text())["provenance"]["asked_by"].split()[1] == "fp-ft-w4a4"]
    kept = json.loads(lost.read_text())
    lost.unlink()
    options = ("-m", "qdet_smoke and qdet_row", "-k", "table1 and (fp or lsq)")
    assert counts(run(finished_root, *options))["skipped"] == 1
    assert counts(run(finished_root, *options, "--qdet-run"))["passed"] == 3
    assert json.loads(lost.read_text())["metrics"] == kept["metrics"]
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items() if path != lost)


WRONG = [
    (("--qdet-update-baselines", "--qdet-committed"), "--qdet-committed leaves them out"),
    (("--qdet-tier",), "unrecognized arguments"),
    (("--qdet-run=paper",), "ignored explicit argument"),
    (("--qdet-strict=yes",), "ignored explicit argument"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_calls(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    said = run(tmp_path, *options, "./", code=4)
    assert words in said and "Traceback" not in said


def test_the_committed_records_within_half_a_minute() -> None:
    """As tox checks them; processor time, since a neighbour slows the clock."""
    begin = os.times()
    said = run(PROJECT, "--qdet-committed", "-q", "-o", "addopts=")
    used = os.times()
    assert counts(said)["passed"] > 90 and "failed" not in counts(said)
    assert used.children_user + used.children_system - begin.children_user - begin.children_system < 30


def test_the_plugin_is_shipped_and_tox_uses_it() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\nqdet = "bench.testing.plugin"' in text
    tox = (PROJECT / "tox.ini").read_text(encoding="utf-8")
    assert "pytest suites --qdet-committed" in tox and "pytest suites/detectors " in tox and "--qdet-strict" in tox
