"""The baseline of submitted predictions: `baselines/<suite>.<tier>.external.json`, apart from that of our own runs."""

from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError, UsageError
from bench.external.gather import ExternalResult
from bench.external.store import ExternalRecord
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import Baseline, Entry, baseline_file, key, read, write
from bench.verdict.faults import undefined
from bench.verdict.gather import Results
from bench.verdict.tolerances import Tolerances


class ExternalEntry(Entry):
    """The record of one repetition of a row, scored in one environment."""

    record: ExternalRecord


class ExternalBaseline(Baseline):
    """A baseline file of submitted predictions."""

    entries: tuple[ExternalEntry, ...]


def external_file(located: Located, tier: Tier) -> Path:
    """Where it stands, whether it exists or not."""
    return baseline_file(located, tier).with_suffix(".external.json")


def load_external(located: Located, tier: Tier) -> ExternalBaseline | None:
    """The baseline; None where there is none. BenchError where the file is not the suite's."""
    return read(external_file(located, tier), ExternalBaseline, located, tier)


def accepted(located: Located, tier: Tier) -> dict[str, tuple[ExternalResult, ...]]:
    """By row what the baseline has, as if it had been submitted here; of several environments the first accepted."""
    baseline = load_external(located, tier)
    found: dict[str, dict[int, ExternalResult]] = {}
    for entry in baseline.entries if baseline is not None else ():
        result = ExternalResult(entry.row, entry.repetition, "ok", entry.record)
        found.setdefault(entry.row, {}).setdefault(entry.repetition, result)
    return {row: tuple(results.values()) for row, results in found.items()}


def accept_external(results: Results, rows: Sequence[str] = ()) -> Path:
    """Make what was submitted to all rows, or to these, the baseline; what was accepted of others stays.

    Returns the file. Raises UsageError where nothing was submitted to a row, BenchError for a record that is stale or
    broken.
    """
    located, tier = results.located, results.tier
    submitted = {row.row.id: row.external for row in results.rows if row.external}
    if not submitted:
        raise UsageError(
            f"{located.name}: nothing was submitted at tier {tier}; `qdet-bench submit` enters predictions"
        )
    for row in rows:
        if row not in submitted:
            raise UsageError(f"{located.name}: nothing was submitted to row {row!r}, but to {', '.join(submitted)}")
    entries = [_entry(result) for row, found in submitted.items() if not rows or row in rows for result in found]
    earlier = load_external(located, tier)
    kept = {} if earlier is None else {key(entry): entry for entry in earlier.entries}
    merged = kept | {key(entry): entry for entry in entries}
    order = [row.row.id for row in results.rows]
    baseline = ExternalBaseline(
        suite=located.name,
        tier=tier,
        tolerances=Tolerances() if earlier is None else earlier.tolerances,
        entries=tuple(
            sorted((e for e in merged.values() if e.row in order), key=lambda e: (order.index(e.row), e.repetition))
        ),
    )
    return write(external_file(located, tier), baseline)


def _entry(result: ExternalResult) -> ExternalEntry:
    why = result.reason if result.record is None else undefined(result.record)
    if why is not None or result.record is None:
        raise BenchError(f"{result.row} seed {result.repetition} (external) cannot be accepted: {why}")
    return ExternalEntry(row=result.row, repetition=result.repetition, record=result.record)
