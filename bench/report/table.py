"""The model of a results table: what a suite measured at a tier, beside what its paper printed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.evaluation.metric import BoxMetric, metric_of
from bench.records.record import Record
from bench.report.categories import Categories, categories, enriched
from bench.report.cells import BEST_NOTE, INTERVAL_NOTES, ONE_RUN, ONE_RUN_NOTE, best_cell, mean_cell
from bench.report.claims import grids as claim_grids
from bench.report.claims import notes as claim_notes
from bench.report.details import as_json
from bench.report.grid import Column, Grid, filled, only
from bench.report.notes import caution, notes, provenance
from bench.report.paper import paper_grid
from bench.report.runs import run_lines
from bench.report.standing import Standing, standing
from bench.report.wording import EXTERNAL, data_name, runs_state
from bench.schema.published import PublishedTable
from bench.schema.suite import Row
from bench.verdict.baseline import Baseline
from bench.verdict.check import judge
from bench.verdict.claims import ClaimVerdict
from bench.verdict.claims import judge as judge_claims
from bench.verdict.external import load_external
from bench.verdict.faults import sound_external, sound_runs
from bench.verdict.gather import Results, RowResult
from bench.verdict.verdicts import Verdict

STATE = "state"


@dataclass(frozen=True)
class Table:
    """Cells as plain text; each format escapes them for itself."""

    title: str
    suite: str
    tier: str
    data: str
    standing: Standing
    """How many runs are done, and what became of the claims."""
    caution: str | None
    """What a reader must know before looking at the numbers."""
    measured: Grid
    """The rows that have something to show; all rows where none has."""
    row_ids: tuple[str, ...]
    """Of each line of `measured` the row that it is of."""
    waiting: Grid | None
    """The other rows, and why they have nothing."""
    claims: tuple[Grid, ...]
    """One a family; none where the suite claims nothing."""
    judged: tuple[ClaimVerdict, ...]
    """What those grids are made of."""
    paper: Grid | None
    """What the paper prints of these rows."""
    categories: Grid | None
    """What quantization changes in each category; None for a suite without groups."""
    notes: tuple[str, ...]
    on_claims: tuple[str, ...]
    """How the claims were tested, and what is said of each; a page folds it away, too."""
    provenance: tuple[str, ...]
    """Long notes on where the numbers come from, which a page folds away."""
    runs: tuple[dict[str, str], ...]
    """A line a run, for CSV."""
    content: dict[str, Any]
    """Everything, for JSON."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of what was measured."""
        return self.measured.columns

    @property
    def answer(self) -> str:
        """What a reader of ten seconds takes along."""
        return f"{self.standing.of_claims()} {self.standing.of_runs()}"

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """What was measured."""
        return self.measured.rows


def build(
    results: Results,
    table: PublishedTable | None,
    baseline: Baseline | None,
    committed: bool = False,
    wanted: Sequence[str] = (),
) -> Table:
    """The table of local results, or of committed ones, which are not compared with themselves.

    `wanted` are columns of what was measured that it has alone: headings, or any metric, also of a group of categories.
    """
    suite = results.located.suite
    spec = suite.tiers[results.tier]
    external = None if committed else load_external(results.located, results.tier)
    verdicts = judge(results, None if committed else baseline, table, external)
    claims = judge_claims(results)
    found = categories(results)
    results = enriched(results, found.columns)
    shown = [row for row in results.rows if has_run(row)] or list(results.rows)
    columns = _Columns(results, _measured(metric_of(spec.metric), found, wanted), committed)
    # In a committed table rows are what they are; that all are well says nothing.
    columns.states = (
        not committed
        or STATE in wanted
        or any(runs_state(row) != "ok" for row in shown if row.jobs or not row.external)
    )
    lines = [
        (row.row.id, line) for row in shown for line in columns.lines(row, [v for v in verdicts if v.row == row.row.id])
    ]
    rows = [line for _, line in lines]
    return Table(
        title=suite.title,
        suite=results.located.name,
        tier=results.tier,
        data=data_name(spec),
        standing=standing(results, claims),
        caution=caution(results, table),
        measured=only(Grid(columns.headings, tuple(rows)), wanted),
        row_ids=tuple(row for row, _ in lines),
        waiting=columns.waiting(
            [row for row in results.rows if not has_run(row)] if len(shown) < len(results.rows) else []
        ),
        judged=tuple(claims),
        claims=tuple(claim_grids(claims, suite, results.tier)),
        paper=paper_grid(results, table),
        categories=found.grid(),
        notes=(
            *notes(results, table, [] if committed else verdicts, committed),
            *_cell_notes(rows, spec.checkpoints, columns.best),
            *found.notes(),
        ),
        on_claims=tuple(claim_notes(claims, suite, results.tier)),
        provenance=tuple(provenance(results, table)),
        runs=tuple(run_lines(results, columns.measured)),
        content=as_json(results, table, verdicts, claims, committed) | found.as_json(),
    )


def _measured(metric: BoxMetric, found: Categories, wanted: Sequence[str]) -> tuple[str, ...]:
    """The metrics of a table: its own, the headline of each group, and others that are wanted."""
    further = [*metric.by_category, *(f"{group}.{name}" for group in found.groups for name in metric.by_category)]
    groups = (f"{group}.{metric.headline}" for group in found.groups)
    return tuple(dict.fromkeys([*metric.columns, *groups, *(name for name in wanted if name in further)]))


def _cell_notes(rows: Sequence[tuple[str, ...]], checkpoints: str, best: bool) -> Iterator[str]:
    text = " ".join(cell for row in rows for cell in row)
    if " ± " in text:
        yield INTERVAL_NOTES[checkpoints]
    if f" {ONE_RUN}" in text:
        yield ONE_RUN_NOTE
    if best:
        yield BEST_NOTE


class _Columns:
    """Which columns a table has, and what stands in them."""

    def __init__(self, results: Results, measured: tuple[str, ...], committed: bool) -> None:
        self.measured, self.committed = measured, committed
        self.detectors = len({row.row.detector for row in results.rows}) > 1
        self.states = True
        self.best = any(best_cell(sound_runs(row), measured[0]) for row in results.rows)

    @property
    def headings(self) -> tuple[Column, ...]:
        return (
            Column("method"),
            Column("W/A"),
            *([Column("detector")] if self.detectors else []),
            *(Column(name, numeric=True) for name in self.measured),
            *([Column(f"best {self.measured[0]}", numeric=True)] if self.best else []),
            Column("runs", numeric=True),
            *([Column(STATE)] if self.states else []),
            *([] if self.committed else [Column("baseline")]),
        )

    def lines(self, row: RowResult, verdicts: list[Verdict]) -> list[tuple[str, ...]]:
        """What was measured; below it, or in its place where nothing was, what was computed elsewhere."""
        sound = sound_runs(row)
        external = sound_external(row)
        label, baseline = row.row.label, _against_baseline(row.row, verdicts, "baseline")
        lines = [self._cells(row, label, sound, _count(row, sound), runs_state(row), baseline)]
        if external:
            # One mean never goes over runs of both kinds.
            state = "external" if sound or not row.jobs else f"external; {runs_state(row)}"
            baseline = _against_baseline(row.row, verdicts, "external")
            line = self._cells(row, f"{label} {EXTERNAL}", external, str(len(external)), state, baseline)
            lines = [*lines, line] if sound else [line]
        return lines

    def waiting(self, rows: Sequence[RowResult]) -> Grid | None:
        """Rows that have not run, and why where that is more than that nobody ran them; None where all have."""
        if not rows:
            return None
        columns = (Column("method"), Column("W/A"), *([Column("detector")] if self.detectors else []), Column("why"))
        lines = tuple(
            (
                row.row.label,
                str(row.row.bits),
                *([row.row.detector] if self.detectors else []),
                "" if (why := runs_state(row)) == "absent" else why.removeprefix("not run: "),
            )
            for row in rows
        )
        return filled(Grid(columns, lines, f"Not run: {len(rows)} {'row' if len(rows) == 1 else 'rows'}"))

    def _cells(
        self, row: RowResult, label: str, records: Sequence[Record], runs: str, state: str, baseline: str
    ) -> tuple[str, ...]:
        return (
            label,
            str(row.row.bits),
            *([row.row.detector] if self.detectors else []),
            *(mean_cell(records, name) for name in self.measured),
            *([best_cell(records, self.measured[0])] if self.best else []),
            runs,
            *([state] if self.states else []),
            *([] if self.committed else [baseline]),
        )


def has_run(row: RowResult) -> bool:
    """Whether there is something to show of a row, be it a failure."""
    return any(job.record is not None or job.state == "failed" for job in row.jobs) or any(
        external.record is not None for external in row.external
    )


def _count(row: RowResult, sound: Sequence[Record]) -> str:
    """`3`; `1 of 3` while others are planned; empty for a row that is reported only."""
    if not row.jobs:
        return ""
    return f"{len(sound)} of {len(row.jobs)}" if 0 < len(sound) < len(row.jobs) else str(len(sound))


def _against_baseline(row: Row, verdicts: list[Verdict], kind: Literal["baseline", "external"]) -> str:
    """`holds`; of several runs `2 holds, 1 regressed`; of submitted ones nothing where they have no baseline."""
    found = [verdict.status for verdict in verdicts if (verdict.kind, verdict.row) == (kind, row.id)]
    found = [status for status in found if status != "external"]
    if len(found) == 1:
        return found[0]
    return ", ".join(f"{found.count(status)} {status}" for status in dict.fromkeys(found))
