"""What makes a finished job no result at all, whatever its AP."""

from bench.evaluation.metric import METRICS
from bench.external.store import ExternalRecord
from bench.records.record import Record
from bench.schema.placement import Pins
from bench.verdict.gather import JobResult, RowResult

UNPINNED = "unpinned data"
_PLACING = ("detector", "bits", "policy", "versions")
"""Parts of a protocol that decide where the quantizers lie."""


def headline(record: Record) -> str | None:
    """Name of the metric that decides between `regressed` and `improved`; None for an unknown variant."""
    found = METRICS.get(record.variant or "")
    return None if found is None else found.headline


def fault(result: JobResult) -> str | None:
    """Why a finished job is no result: placement, data or headline metric; None for a sound one, or none."""
    if result.record is None:
        return None
    if wrong := misplaced(result):
        return wrong
    if (pinned := result.record.pin) != result.record.data.pin:
        return f"data pin {result.record.data.pin[:19]}…, its protocol says {pinned[:19]}…"
    return undefined(result.record)


def misplaced(result: JobResult) -> str | None:
    """Which quantizers a record has too many or too few; empty for none, None where no pin speaks of it."""
    pins = result.job.row.pins.get(result.job.tier)
    if result.record is None or pins is None or not _pins_speak_of(result):
        return None
    return _misplaced(result.record.placement, pins)


def undefined(record: Record) -> str | None:
    """Why the headline metric of a record is no number from 0 to 1; None where it is one."""
    name = headline(record)
    if name is None:
        return "its metric variant is unknown"
    value = record.metrics.get(name)
    if value is None:
        return f"{name} is absent"
    # One test for NaN, infinity and -1, which stands for an undefined value.
    if not 0 <= value <= 1:
        return f"{name} is {value:g}"
    return None


def sound_runs(row: RowResult) -> list[Record]:
    """The records of a row's own jobs that are results."""
    return [r.record for r in row.jobs if r.record is not None and fault(r) is None]


def sound_external(row: RowResult) -> list[ExternalRecord]:
    """The external records of a row that may be shown."""
    return [e.record for e in row.external if e.record is not None and undefined(e.record) is None]


def taint(record: Record) -> str | None:
    """Why a record counts less: made elsewhere, or on data that are not pinned; None where nothing is wrong."""
    if record.kind == "external":
        return "predictions computed elsewhere"
    if not record.data.pin.startswith("sha256:"):
        return UNPINNED
    return None


def _pins_speak_of(result: JobResult) -> bool:
    """Not of a committed record that was placed by an earlier policy or version: other counts are right there."""
    now = result.job.raw
    return result.record is not None and all(result.record.part(name) == now[name] for name in _PLACING)


def _misplaced(found: Pins | None, pins: Pins) -> str:
    if found is None:
        return "placement: there are no quantizers, but the suite pins some"
    counts, pinned = found.model_dump(), pins.model_dump()
    wrong = [f"{name} {counts[name]}, pinned {pinned[name]}" for name in pinned if counts[name] != pinned[name]]
    return f"placement: {'; '.join(wrong)}" if wrong else ""
