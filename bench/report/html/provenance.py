"""Where each number comes from: every run with its record, command, environment, commit and data pin."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench.records.record import Record
from bench.report.html.rows import headline, label
from bench.report.sections import Section
from bench.report.wording import why_no_result
from bench.verdict.baseline import baseline_file
from bench.verdict.faults import taint

LEFT_OUT = {"placement_sites", "per_category"}
"""Of a record, in the page: long, and in its file."""


class Run(NamedTuple):
    """One job of a row."""

    repetition: int
    state: str
    number: str
    record: Record | None
    command: str
    """As it was given; of a restored or old record that which makes it again."""
    tainted: str | None

    @property
    def seconds(self) -> float | None:
        """Wall time of all its phases."""
        return None if self.record is None else sum(phase.wall_s for phase in self.record.cost.phases.values())


class RowRuns(NamedTuple):
    """All runs of a row."""

    row: str
    label: str
    anchor: str
    file: str
    """Where the records stand, from the root."""
    runs: tuple[Run, ...]
    absent: int
    """Planned runs that are not here."""


class EnvironmentFacts(NamedTuple):
    """What an environment key stands for."""

    key: str
    facts: dict[str, str]


def runs_of(section: Section) -> Iterator[RowRuns]:
    """The runs of each row that has any, in the order of the rows."""
    metric, suite = headline(section), section.results.located
    file = baseline_file(suite, section.tier).relative_to(suite.root).as_posix()
    for row in section.results.rows:
        runs = [_run(job, metric) for job in row.jobs if job.record is not None or job.state == "failed"]
        runs += [
            Run(e.repetition, "external", _number(e.record, metric), e.record, "qdet-bench submit", taint(e.record))
            for e in row.external
            if e.record is not None
        ]
        if (anchor := section.anchor(row.row.id)) is not None:
            where = file if section.origin == "committed" else "results/local/jobs/"
            absent = sum(job.record is None and job.state != "failed" for job in row.jobs)
            yield RowRuns(row.row.id, label(row.row), anchor, where, tuple(runs), absent)


def _run(result: Any, metric: str) -> Run:
    record = result.record
    state = why_no_result(result) or "ok"
    if record is None:
        return Run(result.job.repetition, state, "", None, "", None)
    command = shlex.join(["qdet-bench", *record.provenance.arguments])
    return Run(result.job.repetition, state, _number(record, metric), record, command, taint(record))


def _number(record: Record, metric: str) -> str:
    value = record.metrics.get(metric, -1)
    return f"{metric} {100 * value:.2f}" if value >= 0 else ""


def environments(sections: Sequence[Section]) -> list[EnvironmentFacts]:
    """Every environment that a record names, once."""
    found = {record.environment_key: record.environment for section in sections for record in _records(section)}
    return [
        EnvironmentFacts(key, {name: _text(value) for name, value in facts.items()}) for key, facts in found.items()
    ]


def _text(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def raw_records(sections: Sequence[Section]) -> dict[str, Any]:
    """By identity and environment each record as it is stored, but for its longest lists."""
    return {
        key(record): record.model_dump(mode="json", exclude=LEFT_OUT)
        for section in sections
        for record in _records(section)
    }


def _records(section: Section) -> Iterator[Record]:
    for row in section.results.rows:
        yield from (job.record for job in row.jobs if job.record is not None)
        yield from (external.record for external in row.external if external.record is not None)


def key(record: Record) -> str:
    """Names a record in the page."""
    return f"{record.identity[:16]}-{record.environment_key[:8]}"
