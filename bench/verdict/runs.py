"""The runs of a row, taken together, against the baseline's: what one run in another environment cannot tell."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.records.record import Record
from bench.schema.group import NO_GROUPS, Groups
from bench.verdict.baseline import Baseline
from bench.verdict.faults import headline, taint
from bench.verdict.moves import across
from bench.verdict.numbers import numbers
from bench.verdict.tolerances import LEAST_RUNS, NOT_CRITICAL, Critical, Statistical, judge_runs
from bench.verdict.verdicts import Status, Verdict

DEFAULT = "trained in another environment"


class Together(NamedTuple):
    """The runs of a row that are not compared one by one."""

    row: str
    here: tuple[Record, ...]
    by_seed: tuple[tuple[int, Record, Record], ...]
    """Seed, run and the baseline's run of it."""
    there: tuple[Record, ...]
    """The baseline's runs of the same protocol, one a seed."""
    tolerance: Statistical
    critical: Critical = NOT_CRITICAL

    @property
    def enough(self) -> bool:
        """Whether a statistical comparison is possible."""
        return min(len(self.here), len(self.there)) >= LEAST_RUNS


def together(
    row: str,
    pairs: Sequence[tuple[int, Record, Record]],
    further: Sequence[Record],
    baseline: Baseline,
    groups: Groups = NO_GROUPS,
) -> Together:
    """Of at least one seed with its run here and the baseline's, and of `further` runs that the baseline lacks."""
    here = (*(run for _, run, _ in pairs), *further)
    declared = baseline.tolerances.of(row)
    if not isinstance(declared, Statistical):
        declared = Statistical(kind="statistical", metric=headline(here[0]) or "", reason=DEFAULT)
    asked = _without_seeds(here[0])
    runs: dict[int, Record] = {}
    for entry in baseline.entries:
        if entry.row == row and _without_seeds(entry.record) == asked:
            runs.setdefault(entry.repetition, entry.record)
    critical = baseline.tolerances.critical(row, groups, headline(here[0]))
    return Together(row, here, tuple(pairs), tuple(runs.values()), declared, critical)


def judge_together(found: Iterable[Together]) -> dict[str, list[Verdict]]:
    """By row one verdict on all of its runs, or one on each that says what is lacking."""
    rows = list(found)
    judged = sum(1 + len(row.critical.groups) for row in rows if row.enough)
    return {row.row: _verdicts(row, judged) for row in rows}


def _verdicts(row: Together, rows: int) -> list[Verdict]:
    here, there = ([numbers(record, row.critical.groups) for record in side] for side in (row.here, row.there))
    found = [judge_runs(one, here, there, rows) for one in row.critical.held(row.tolerance, *here, *there)]
    judged = [one for one in found if one is not None]
    if len(judged) < len(found):
        counts = f"{len(row.here)} here, {len(row.there)} there"
        lacking = (
            f"five runs a side would tell ({counts}; `run --seeds 5`), or a tolerance (`accept --tolerance "
            f"{row.row}=absolute:POINTS`)"
        )
        return [
            Verdict("baseline", row.row, seed, "inconclusive", f"{across(run, earlier)}; {lacking}", taint(run))
            for seed, run, earlier in row.by_seed
        ]
    why = f"{'; '.join(one.text for one in judged)} (statistical: {row.tolerance.reason})"
    moves = [one.move for one in judged if not one.within]
    status: Status = "holds" if not moves else "regressed" if min(moves) < 0 else "improved"
    return [Verdict("baseline", row.row, None, status, why, taint(row.here[0]))]


def _without_seeds(record: Record) -> dict[str, object]:
    return {name: value for name, value in record.protocol.items() if name != "seeds"}
