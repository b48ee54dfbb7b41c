"""What Git keeps of the committed records is what the commands make of them, and DVC sees how revisions differ."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from factories import located, measure_all, suite_data

from bench.cli.main import main
from bench.evaluation.predictions import Predictions
from bench.report.make import committed_text, cost_file, table_file
from bench.report.sections import Section, find_sections
from bench.report.standing import Standing, together
from bench.report.summary import summary, write_summary
from bench.schema.load import Located, load_all
from bench.verdict.baseline import accept
from bench.verdict.gather import gather
from bench.verdict.kept import FOLDER, kept_predictions

OTHERS = {"performance.md", "statistics/coverage.md"}
"""Below results/, made by tests/benchmarks/measure.py and `python -m tests.coverage`."""

MOST_PREDICTIONS = 8_000_000
"""Bytes, of all that are committed."""


@pytest.fixture(scope="module")
def suites() -> list[Located]:
    found, errors = load_all(PROJECT)
    assert not errors
    return found


@pytest.fixture(scope="module")
def sections(suites: list[Located]) -> list[Section]:
    """All that is committed; what is said of protocols cannot be made again where the data are not here."""
    found = find_sections(suites, ["committed"])
    blocked = {job.job.blocked for section in found for job in section.results.jobs} - {None}
    if blocked:
        pytest.skip(f"what tables say of protocols needs the data: {next(iter(blocked))}")
    return found


def test_every_table_in_results_is_what_its_records_make(sections: list[Section]) -> None:
    made = {table_file(section.results.located, section.tier): section for section in sections}
    there = {path for path in (PROJECT / "results").rglob("*.md") if "local" not in path.parts}
    assert {path.relative_to(PROJECT / "results").as_posix() for path in there - made.keys()} == OTHERS | {
        "overview.md"
    }
    for path, section in made.items():
        again = committed_text(section.results.located, section.tier)
        assert path.read_text(encoding="utf-8") == again, f"`qdet-bench accept {section.name}` writes {path}"


@pytest.mark.usefixtures("sections")
def test_overview_metrics_and_plots_are_what_the_records_make(suites: list[Located]) -> None:
    files = summary(suites)
    for path, text in files.items():
        assert (PROJECT / path).read_text(encoding="utf-8") == text, f"`qdet-bench summary` writes {path}"
    plots = {path.relative_to(PROJECT) for path in (PROJECT / "results/plots").rglob("*.csv")}
    assert plots == {path for path in files if path.suffix == ".csv"}


def test_the_cost_of_every_row_of_a_table_at_mini_is_kept(suites: list[Located]) -> None:
    """`show SUITE --cost --keep` counts it; the picture of accuracy and cost is of all rows or it misleads."""
    tables = [found for found in suites if "mini" in found.suite.tiers and table_file(found, "mini").is_file()]
    assert tables
    for found in tables:
        kept = json.loads(cost_file(found, "mini").read_text(encoding="utf-8"))["rows"]
        ours = {row.id for row in found.suite.rows if row.reported_only is None}
        assert {row["id"] for row in kept} >= ours, found.name


def test_committed_predictions_are_small_and_those_of_committed_records(suites: list[Located]) -> None:
    sections = find_sections(suites, ["committed"])
    records = [job.record for section in sections for job in section.results.jobs if job.record is not None]
    known = {kept_predictions(PROJECT, record) for record in records}
    files = [*(PROJECT / FOLDER).glob("*.bin")]
    assert {*files} <= known
    assert sum(file.stat().st_size for file in files) <= MOST_PREDICTIONS
    for record in records:
        if (path := kept_predictions(PROJECT, record)).is_file():
            assert Predictions.load(path).digest() == record.predictions.digest


@pytest.fixture
def revisions(tmp_path: Path) -> Path:
    """A repository of two commits; in the second one FP is two points better, and a table is gone."""
    root = tmp_path / "repository"
    text = (PROJECT / "dvc.yaml").read_text(encoding="utf-8")
    suite = located(root)
    git(root, "init", "-q")
    dvc(root, "init", "-q")
    (root / "dvc.yaml").write_text(text[text.index("metrics:") : text.index("stages:")], encoding="utf-8")
    gone = root / "results/plots/toy/gone.mini.csv"
    gone.parent.mkdir(parents=True)
    gone.write_text("row,metric,value\n", encoding="utf-8")
    for fp in (0.5, 0.52):
        measure_all(suite, fp=fp)
        accept(gather(suite, "mini"))
        write_summary([suite], root)
        git(root, "add", "-A", "--", ".", ":!results/local")
        git(root, "commit", "-qm", f"FP {fp}")
    assert not gone.exists()
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@e.org", *arguments], cwd=root, check=True)


def dvc(root: Path, *arguments: str) -> Any:
    """What a DVC command prints."""
    command = [str(Path(sys.executable).parent / "dvc"), *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def test_dvc_shows_a_planted_change_between_two_revisions(revisions: Path) -> None:
    changes = json.loads(dvc(revisions, "metrics", "diff", "HEAD~1", "HEAD", "--json"))["results/metrics.json"]
    moved = {name: round(change["diff"], 6) for name, change in changes.items()}
    fp = "toy/table1.mini.rows.fp"
    assert moved == {f"{fp}.AP": 2.0, f"{fp}.AP50": 2.0, f"{fp}.AP75": 2.0}
    plots = json.loads(dvc(revisions, "plots", "diff", "HEAD~1", "HEAD", "--json"))["data"]
    (plot,) = plots["results/plots/toy/table1.mini.csv"]
    values = {(point["rev"], point["row"]): float(point["value"]) for point in plot["content"]["data"]["values"]}
    assert (values["HEAD~1", "fp"], values["HEAD", "fp"]) == (50.0, 52.0)
    assert values["HEAD~1", "lsq"] == values["HEAD", "lsq"]
    assert json.loads(dvc(revisions, "metrics", "show", "--json"))


def test_summary_leaves_tables_whose_data_are_absent_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = located(tmp_path)
    measure_all(suite)
    accept(gather(suite, "mini"))
    file = tmp_path / "results/toy/table1.mini.md"
    assert main(["--root", str(tmp_path), "summary"]) == 0
    assert file.is_file()
    assert not capsys.readouterr().err
    data = suite_data()
    data["tiers"]["mini"]["data"] = {"kind": "yolo", "path": "nowhere"}
    located(tmp_path, data)
    file.write_text("as it was", encoding="utf-8")
    assert main(["--root", str(tmp_path), "summary"]) == 0
    assert file.read_text(encoding="utf-8") == "as it was"
    assert "warning: the data of toy/table1 are not here" in capsys.readouterr().err


def test_a_condition_of_a_verdict_is_told_with_the_count() -> None:
    one = Standing(done=5, planned=5, earlier=0, claims={"holds": 1, "inconclusive": 2}, limited=1)
    assert one.of_claims().endswith("1 holds and 2 are inconclusive; 1 verdict has a condition, named with it.")
    assert "condition" not in together([Standing(1, 1, 0, {"holds": 2})]).of_claims()
    assert together([one, one]).limited == 2
