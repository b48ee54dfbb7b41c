"""The model of a results table: what a suite measured at a tier, beside what its paper printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from bench.evaluation.metric import metric_of
from bench.records.record import Record
from bench.report.claims import lines as claim_lines
from bench.report.claims import notes as claim_notes
from bench.report.details import as_json
from bench.report.notes import caution, notes
from bench.report.wording import EXTERNAL, data_name, percent, printed, runs_state
from bench.schema.published import PublishedTable
from bench.schema.suite import Row
from bench.statistics.intervals import seed_interval
from bench.verdict.baseline import Baseline
from bench.verdict.check import judge
from bench.verdict.claims import judge as judge_claims
from bench.verdict.faults import sound_external, sound_runs
from bench.verdict.gather import Results, RowResult
from bench.verdict.references import published_row
from bench.verdict.verdicts import Verdict

SEED_NOTE = (
    "± seeds: half the 95 % interval of the mean over training seeds (Student's t); it conditions on one FP "
    "checkpoint, this data set and one environment, and says nothing of other images."
)
BEST_NOTE = (
    "Best: the mean of each run's best evaluation, during training or after it; it is chosen on the very images that "
    "score it, as HQOD reports its epochs. Every other number is of the last step, and so are claims and baselines."
)


class Column(NamedTuple):
    """A heading, and whether numbers stand below it."""

    heading: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """Cells as plain text; each format escapes them for itself."""

    title: str
    suite: str
    tier: str
    data: str
    caution: str | None
    """What a reader must know before looking at the numbers."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    claims: tuple[tuple[str, ...], ...]
    """Lines below `bench.report.claims.HEADINGS`; none where the suite claims nothing."""
    notes: tuple[str, ...]
    content: dict[str, Any]
    """Everything, for JSON."""


def build(results: Results, table: PublishedTable | None, baseline: Baseline | None, committed: bool = False) -> Table:
    """The table of local results, or of committed ones, which are not compared with themselves."""
    suite = results.located.suite
    spec = suite.tiers[results.tier]
    verdicts = judge(results, None if committed else baseline, table)
    claims = judge_claims(results)
    columns = _Columns(results, table, metric_of(spec.metric).columns, committed)
    rows: list[tuple[str, ...]] = []
    for row in results.rows:
        rows += columns.lines(row, [v for v in verdicts if v.row == row.row.id])
    return Table(
        title=suite.title,
        suite=results.located.name,
        tier=results.tier,
        data=data_name(spec.data),
        caution=caution(results, table),
        columns=columns.headings,
        rows=tuple(rows),
        claims=tuple(claim_lines(claims, results.tier, spec)),
        notes=(
            *notes(results, table, [] if committed else verdicts, committed),
            *([SEED_NOTE] if columns.seeds else []),
            *([BEST_NOTE] if columns.best else []),
            *(claim_notes(claims) if claims else ()),
        ),
        content=as_json(results, table, verdicts, claims, committed),
    )


class _Columns:
    """Which columns a table has, and what stands in them."""

    def __init__(
        self, results: Results, table: PublishedTable | None, measured: tuple[str, ...], committed: bool
    ) -> None:
        self.table, self.measured, self.committed = table, measured, committed
        self.detectors = len({row.row.detector for row in results.rows}) > 1
        self.seeds = any(_seeds(sound_runs(row), measured[0]) for row in results.rows)
        self.best = any(_best(sound_runs(row), measured[0]) for row in results.rows)
        rows = [published_row(row.row, table) for row in results.rows]
        self.published = tuple(dict.fromkeys(name for row in rows if row is not None for name in row.metrics))

    @property
    def headings(self) -> tuple[Column, ...]:
        return (
            Column("method"),
            Column("W/A"),
            *([Column("detector")] if self.detectors else []),
            *(Column(name, numeric=True) for name in self.measured),
            *([Column(f"{self.measured[0]} ± seeds", numeric=True)] if self.seeds else []),
            *([Column(f"best {self.measured[0]}", numeric=True)] if self.best else []),
            Column("runs", numeric=True),
            *(Column(f"paper {name}", numeric=True) for name in self.published),
            Column("state"),
            *([] if self.committed else [Column("baseline")]),
        )

    def lines(self, row: RowResult, verdicts: list[Verdict]) -> list[tuple[str, ...]]:
        """What was measured; below it, or in its place where nothing was, what was computed elsewhere."""
        sound = sound_runs(row)
        external = sound_external(row)
        label, baseline = row.row.label, _against_baseline(row.row, verdicts)
        lines = [self._cells(row, label, sound, str(len(sound)) if row.jobs else "", runs_state(row), baseline)]
        if external:
            # One mean never goes over runs of both kinds.
            state = "external" if sound else f"external; {runs_state(row)}"
            line = self._cells(row, f"{label} {EXTERNAL}", external, str(len(external)), state, "")
            lines = [*lines, line] if sound else [line]
        return lines

    def _cells(
        self, row: RowResult, label: str, records: Sequence[Record], runs: str, state: str, baseline: str
    ) -> tuple[str, ...]:
        published = published_row(row.row, self.table)
        values = [[r.metrics[name] for r in records if r.metrics.get(name, -1) >= 0] for name in self.measured]
        return (
            label,
            str(row.row.bits),
            *([row.row.detector] if self.detectors else []),
            *(percent(fmean(found)) if found else "" for found in values),
            *([_seeds(records, self.measured[0])] if self.seeds else []),
            *([_best(records, self.measured[0])] if self.best else []),
            runs,
            *(printed(published, name) for name in self.published),
            state,
            *([] if self.committed else [baseline]),
        )


def _seeds(records: Sequence[Record], metric: str) -> str:
    """Half the seed interval; empty for one run, an evaluation, or runs of several environments."""
    values = [100 * r.metrics[metric] for r in records if r.metrics.get(metric, -1) >= 0]
    if len(values) < 2 or len({r.environment_key for r in records}) > 1 or records[0].kind == "external":
        return ""
    return f"{seed_interval(values).half_width:.2f}"


def _best(records: Sequence[Record], metric: str) -> str:
    """The mean of the best evaluations; empty where a run was not scored during training."""
    found = [record.best(metric) for record in records]
    values = [best.metrics[metric] for best in found if best is not None]
    return percent(fmean(values)) if values and len(values) == len(records) else ""


def _against_baseline(row: Row, verdicts: list[Verdict]) -> str:
    """`holds`; of several runs `2 holds, 1 regressed`."""
    found = [verdict.status for verdict in verdicts if verdict.kind == "baseline" and verdict.row == row.id]
    if len(found) == 1:
        return found[0]
    return ", ".join(f"{found.count(status)} {status}" for status in dict.fromkeys(found))
