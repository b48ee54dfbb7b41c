"""What was submitted to the rows of a suite, and whether it was scored as the suite scores now."""

from dataclasses import dataclass
from typing import Literal

from bench.errors import BenchError
from bench.external.protocol import ScoringProtocol, scoring_protocol
from bench.external.store import ExternalRecord, ExternalStore
from bench.plan.changes import changes
from bench.plan.identity import identity
from bench.schema.load import Located
from bench.schema.suite import Tier

State = Literal["ok", "stale", "failed", "blocked"]
"""`stale`: data, metric or scoring have changed since; `failed`: it cannot be read; `blocked`: the data are absent."""


@dataclass(frozen=True)
class ExternalResult:
    """One submitted repetition of a row."""

    row: str
    repetition: int
    state: State
    record: ExternalRecord | None = None
    """Only of one that is ok: anything else is left out of tables and verdicts."""
    reason: str | None = None
    """Why it is left out."""


def gather_external(located: Located, tier: Tier, pin: str | None = None) -> dict[str, tuple[ExternalResult, ...]]:
    """By row what was submitted to it, by repetition; `pin` as `scoring_protocol` has it."""
    gatherer = _Gatherer(located, tier, pin)
    return {row.id: gatherer.row(row.id) for row in located.suite.rows}


class _Gatherer:
    def __init__(self, located: Located, tier: Tier, pin: str | None) -> None:
        self.located, self.tier, self.pin = located, tier, pin
        self.store = ExternalStore(located.root, located.name, tier)
        self.protocol: ScoringProtocol | None = None

    def row(self, row: str) -> tuple[ExternalResult, ...]:
        return tuple(self._result(row, repetition) for repetition in self.store.repetitions(row))

    def _result(self, row: str, repetition: int) -> ExternalResult:
        try:
            record = self.store.load(row, repetition)
        except BenchError as error:
            return ExternalResult(row, repetition, "failed", reason=str(error))
        if not _is_whole(record):
            path = self.store.record_file(row, repetition)
            return ExternalResult(row, repetition, "failed", reason=f"{path}: was changed; submit it again")
        try:
            # Only where something was submitted is the data set looked at.
            self.protocol = self.protocol or scoring_protocol(self.located, self.tier, self.pin)
        except BenchError as error:
            return ExternalResult(row, repetition, "blocked", reason=f"its data pin cannot be checked: {error}")
        now = self.protocol.raw(record.predictions.digest)
        if differences := changes(record.protocol, now):
            reason = f"{'; '.join(differences)}; submit its predictions again with --replace"
            return ExternalResult(row, repetition, "stale", reason=reason)
        return ExternalResult(row, repetition, "ok", record)


def _is_whole(record: ExternalRecord) -> bool:
    try:
        return record.identity == identity(record.protocol)
    except ValueError:  # NaN in the protocol of a file that somebody changed
        return False
