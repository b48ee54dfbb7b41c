"""How data sets, numbers and states are worded in a table."""

from collections.abc import Iterable
from pathlib import Path

from bench.data.load import kind_of
from bench.report.layout import spans
from bench.schema.published import PublishedRow, Quantity
from bench.schema.suite import TierSpec
from bench.verdict.faults import fault
from bench.verdict.gather import JobResult, RowResult

DOUBTFUL = "(?)"
EXTERNAL = "(external)"
"""Behind the name of a row whose numbers are of predictions that were computed elsewhere."""


def data_name(tier: TierSpec) -> str:
    """What the numbers of a tier were measured on; generated drawings are always called so."""
    return tier.data_title or kind_of(tier.data, Path()).title


def percent(fraction: float) -> str:
    """A fraction in percent, two decimals."""
    return f"{100 * fraction:.2f}"


def printed(published: PublishedRow | None, name: Quantity) -> str:
    """A published number as its source prints it; a gain with its sign, a doubtful one with its mark."""
    if published is None or name not in published.metrics:
        return ""
    value = published.metrics[name]
    text = f"+{value}" if published.kind == "gain" else f"{value}"
    return f"{text} {DOUBTFUL}" if published.doubtful else text


def runs_state(row: RowResult) -> str:
    """`ok`, or why each run that is no result is none. Where some have run, those that have not are only counted."""
    if row.row.reported_only is not None:
        return f"not run: {row.row.reported_only}"
    lacking = {result.job.repetition: why for result in row.jobs if (why := why_no_result(result)) is not None}
    if not lacking:
        return _restored(row)
    if len(row.jobs) == 1:
        return lacking[0]
    if len(lacking) == len(row.jobs) and len(set(lacking.values())) == 1:
        return lacking[0]
    by_reason: dict[str, list[int]] = {}
    told = {repetition: why for repetition, why in lacking.items() if why != "absent"}
    if not told:
        return _restored(row)
    for repetition, why in told.items():
        by_reason.setdefault(why, []).append(repetition)
    seeds = "; ".join(f"{_seeds(repetitions)} {why}" for why, repetitions in by_reason.items())
    return f"{len(row.jobs) - len(lacking)} of {len(row.jobs)} ok; {seeds}"


def _restored(row: RowResult) -> str:
    restored = [result.restored for result in row.jobs if result.record is not None]
    if not any(restored):
        return "ok"
    return f"ok, {'' if all(restored) else f'{sum(restored)} '}restored from the baseline"


def _seeds(repetitions: list[int]) -> str:
    """`seed 3`; `seeds 3 to 7`."""
    return f"seed{'s' if len(repetitions) > 1 else ''} {spans(repetitions)}"


def why_no_result(result: JobResult) -> str | None:
    """Why a run is no result; None for a sound one."""
    if result.record is None:
        return f"{result.state}: {result.reason}" if result.reason else result.state
    why = fault(result)
    return None if why is None else f"failed: {why}"


def grouped(pairs: Iterable[tuple[str, str]], among: int) -> list[str]:
    """Texts with the rows that each is true of. One that is true of all `among` rows stands alone; of one that is true
    of most, the other rows are named."""
    rows: dict[str, list[str]] = {}
    for row, text in pairs:
        if row not in rows.setdefault(text, []):
            rows[text].append(row)
    known = dict.fromkeys(row for found in rows.values() for row in found)
    return [f"{_whom(found, [*known], among)}{text}" for text, found in rows.items()]


def _whom(found: list[str], known: list[str], among: int) -> str:
    if len(found) == among:
        return ""
    others = [row for row in known if row not in found]
    if len(known) == among and len(others) < len(found) / 2:
        return f"All rows but {', '.join(others)}: "
    return f"{', '.join(found)}: "
