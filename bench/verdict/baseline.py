"""Baselines: our own earlier records of a tier, all raw runs kept, in `baselines/<suite>.<tier>.json`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from bench.errors import BenchError, UsageError
from bench.plan.identity import identity
from bench.plan.jobs import plan
from bench.records.files import read_model, write_json
from bench.records.record import Record
from bench.schema.base import Spec
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.faults import fault
from bench.verdict.gather import JobResult, Results, RowResult
from bench.verdict.tolerances import Tolerances

NO_EXTERNAL = "predictions computed elsewhere have a baseline of their own (`accept --external`)"


class Entry(Spec):
    """The record of one repetition of a row, in one environment."""

    row: str
    repetition: Annotated[int, Field(ge=0)]
    record: Record


class Baseline(Spec):
    """A baseline file."""

    schema_version: Literal[1] = 1
    suite: str
    tier: Tier
    tolerances: Tolerances = Tolerances()
    entries: tuple[Entry, ...]

    def records(self, row: str, repetition: int) -> list[Record]:
        """Those of that repetition, one an environment, the first accepted one first."""
        return [e.record for e in self.entries if (e.row, e.repetition) == (row, repetition)]

    def record(self, row: str, repetition: int) -> Record | None:
        """The first accepted record of that repetition; None where there is none."""
        return next(iter(self.records(row, repetition)), None)


def baseline_file(located: Located, tier: Tier) -> Path:
    """Where the baseline of a suite stands, whether it exists or not."""
    return located.root / "baselines" / f"{located.name}.{tier}.json"


def load(located: Located, tier: Tier) -> Baseline | None:
    """The baseline; None where there is none. BenchError where the file is not the suite's baseline."""
    return read(baseline_file(located, tier), Baseline, located, tier)


B = TypeVar("B", bound=Baseline)


def read(path: Path, model: type[B], located: Located, tier: Tier) -> B | None:
    """A baseline of this form; None where there is no such file. BenchError where it is not the suite's."""
    try:
        baseline = read_model(path, model, "a baseline", "restore it or remove it")
    except OSError as error:
        raise BenchError(f"{path}: cannot be read: {error.strerror}") from None
    if baseline is None:
        return None
    if (baseline.suite, baseline.tier) != (located.name, tier):
        raise BenchError(f"{path}: the baseline of {baseline.suite}, tier {baseline.tier}; restore it")
    for entry in baseline.entries:
        if (what := _changed(entry.record)) is not None:
            which = f"the record of {entry.row} seed {entry.repetition}"
            raise BenchError(f"{path}: {which} was changed: {what}; restore it")
    return baseline


def write(path: Path, baseline: Baseline) -> Path:
    """Write a baseline; returns its file. BenchError where it cannot be written."""
    try:
        write_json(path, json.loads(baseline.model_dump_json()))
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _changed(record: Record) -> str | None:
    """Why a record is not the one that was accepted; None where nothing gives it away."""
    try:
        if identity(record.protocol) != record.identity:
            return "its protocol (data, metric, schedule) is not that of its identity"
    except ValueError:  # NaN in the protocol
        return "its protocol holds no numbers"
    if record.data.pin == record.pin:
        return None
    return f"data pin {record.data.pin[:19]}…, its protocol says {record.pin[:19]}…"


def accept(results: Results, rows: Sequence[str] = ()) -> Path:
    """Make the local records the baseline; with `rows` only theirs, the others stay as they are.

    Tolerances stay, and so do records of the same protocol that were accepted earlier: of repetitions that are not
    here, and of other environments. Of a row that has a record, repetitions that have not run are left for later.
    Returns the file. Raises BenchError where a job of the rows has no sound record, and UsageError for a row that the
    suite does not run.
    """
    located, tier = results.located, results.tier
    known = [r.row.id for r in results.rows if r.jobs]
    for row in rows:
        if row not in known:
            if any(r.external for r in results.rows if r.row.id == row):
                raise UsageError(f"{located.name} {row} has external records only; {NO_EXTERNAL}")
            raise UsageError(f"{located.name} runs no row {row!r}; it runs {', '.join(known)}")
    wanted = [row for row in results.rows if not rows or row.row.id in rows]
    entries = {key(entry): entry for row in wanted for entry in (_entry(j, row) for j in _begun(row))}
    earlier = load(located, tier)
    if earlier is not None:
        entries = {key(entry): entry for entry in _kept(earlier, results, known, rows)} | entries
    order = {row: index for index, row in enumerate(known)}
    baseline = Baseline(
        suite=located.name,
        tier=tier,
        tolerances=_tolerances(earlier, known),
        entries=tuple(sorted(entries.values(), key=lambda e: (order[e.row], e.repetition))),
    )
    return write(baseline_file(located, tier), baseline)


def key(entry: Entry) -> tuple[str, int, str]:
    """What there is one record of."""
    return entry.row, entry.repetition, entry.record.environment_key


def _kept(earlier: Baseline, results: Results, known: Sequence[str], rows: Sequence[str]) -> Iterator[Entry]:
    """What stays: all of the rows that are not accepted now, and of the others the jobs that would be run now."""
    accepted = {(e.row, e.repetition) for e in earlier.entries}
    jobs = plan(results.located, results.tier, further=lambda job: (job.row.id, job.repetition) in accepted)
    planned = {(job.row.id, job.repetition): job.identity for job in jobs}
    for entry in earlier.entries:
        if entry.row not in known:
            continue
        now = planned.get((entry.row, entry.repetition))
        if (rows and entry.row not in rows) or now == entry.record.identity:
            yield entry


def _begun(row: RowResult) -> list[JobResult]:
    """The jobs of a row that ran; all of them where none did, so that their absence is named."""
    return [result for result in row.jobs if result.state != "absent"] or list(row.jobs)


def _entry(result: JobResult, row: RowResult) -> Entry:
    job = result.job
    why = fault(result) or (None if result.record else result.reason or "it has not run")
    if result.record is None and any(e.repetition == job.repetition for e in row.external):
        why = f"{why}, and it has an external record: {NO_EXTERNAL}"
    elif result.record is not None and result.record.kind == "external":
        why = NO_EXTERNAL
    if why is not None or result.record is None:
        raise BenchError(f"{job.name} cannot be accepted: {why}")
    return Entry(row=job.row.id, repetition=job.repetition, record=result.record)


def _tolerances(earlier: Baseline | None, known: list[str]) -> Tolerances:
    if earlier is None:
        return Tolerances()
    rows = {key: value for key, value in earlier.tolerances.rows.items() if key.partition(":")[0] in (*known, "*")}
    return Tolerances(default=earlier.tolerances.default, rows=rows)
