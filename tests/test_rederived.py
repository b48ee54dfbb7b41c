"""Every number of every committed table is what a second computation makes of the raw runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT
from rederive import METRICS, Committed, claim_cells, committed, environments, row_cells

from bench.plan.jobs import plan
from bench.schema.claim import Claim
from bench.schema.load import load_suite

TABLES = sorted(path.relative_to(PROJECT / "baselines") for path in (PROJECT / "baselines").glob("*/*.mini.json"))


def grids(text: str) -> list[list[dict[str, str]]]:
    """Every table of a page, a line as its cells by heading."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found[-1].append([re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell.strip()) for cell in cells])
        elif found[-1]:
            found.append([])
    return [[dict(zip(grid[0], line, strict=True)) for line in grid[2:]] for grid in found if grid]


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_no_number_differs(table: Path) -> None:
    name = table.as_posix().removesuffix(".mini.json")
    if any(job.blocked for job in plan(load_suite(name, PROJECT), "mini")):
        pytest.skip(f"{name}: which of its records are of an earlier protocol shows where the data are")
    found = committed(PROJECT, name, "mini")
    text = (PROJECT / "results" / f"{name}.mini.md").read_text(encoding="utf-8")
    measured, *others = grids(text)
    elsewhere = {row for row, _ in found.submitted}
    ran = {row for row, _ in found.runs} | elsewhere
    rows = [row for row in found.suite.rows if row.id in ran]
    labels = [" ".join(row.label.split()) + (" (external)" if row.id in elsewhere else "") for row in rows]
    assert [line["method"] for line in measured] == labels
    waiting = [" ".join(row.label.split()) for row in found.suite.rows if row.id not in ran]
    listed = grids(text[text.index("<summary>Not run: ") :])[0] if waiting else []
    assert [line["method"] for line in listed] == waiting
    numbers = 0
    for row, line in zip(rows, measured, strict=True):
        expected = row_cells(found, row)
        shown = {heading: expected[heading] for heading in line if heading in expected}
        assert shown == {heading: line[heading] for heading in shown}, row.id
        assert {*METRICS[found.tier.metric.variant], "runs"} <= shown.keys()
        numbers += sum(value != "" for value in shown.values())
    claims = {line["claim"]: line for grid in others for line in grid if "claim" in line}
    for claim in found.suite.claims:
        line, expected = claims[" ".join(claim.text.split())], claim_cells(found, claim)
        word = expected.pop("word")
        # A column in which nothing stands is left out.
        assert expected == {heading: line.get(heading, "") for heading in expected}, claim.id
        verdict = line["verdict"].split(" (mini, ")[0].removesuffix(", tainted: predictions computed elsewhere")
        assert verdict in (word, f"{word}, regime borderline", "out of regime"), claim.id
        numbers += sum(value != "" for value in expected.values())
        _environments(text, found, claim)
    if found.suite.published is not None:
        _paper(found, next(grid for grid in others if "claim" not in grid[0]))
    assert numbers >= len(measured)


def _environments(text: str, found: Committed, claim: Claim) -> None:
    said = re.search(rf"^\* Claim {re.escape(claim.id)} \([^)]*\): .*?By environment: ([^\n]*)", text, re.MULTILINE)
    expected = environments(found, claim)
    if expected is None:
        assert said is None
        return
    assert said is not None
    each, p = expected
    assert re.findall(r"([+-][\d.]+) in (\d+) pairs? of", said[1]) == each
    assert p == "" or f"p of no difference {p} (F)" in said[1]


def _paper(found: Committed, grid: list[dict[str, str]]) -> None:
    use = found.suite.published
    assert use is not None
    file = yaml.safe_load((PROJECT / "baselines/published" / f"{use.file}.yaml").read_text(encoding="utf-8"))
    (table,) = (table for table in file["tables"] if table["id"] == use.table)
    printed = {row["id"]: row["metrics"] for row in table["rows"]}
    named = [row.published for row in found.suite.rows if row.published is not None]
    for row, line in zip(named, grid, strict=True):
        for metric, value in printed[row].items():
            assert line[metric].split(" ")[0] in (f"{value}", f"+{value}"), row


def test_the_second_computation_stands_on_its_own() -> None:
    code = (
        "import rederive, sys; print([m for m in sys.modules if m.startswith(('bench.statistics', 'bench.verdict'))])"
    )
    folder = PROJECT / "tests"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
