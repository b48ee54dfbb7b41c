"""Where each planned job stands: done, missing, stale, failed or blocked, and why."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from bench.errors import BenchError
from bench.plan.changes import changes
from bench.plan.jobs import Job
from bench.records.record import Record
from bench.records.store import Store

State = Literal["done", "missing", "stale", "failed", "blocked"]
STATES: tuple[State, ...] = ("done", "missing", "stale", "failed", "blocked")
TO_PAY: frozenset[State] = frozenset({"missing", "stale", "failed"})
"""States of jobs that are still to be run."""


class Standing(NamedTuple):
    """A job and where it stands."""

    job: Job
    state: State
    reasons: tuple[str, ...] = ()
    """Of a failed or blocked job why; of a stale one what has changed since its record."""


def standings(jobs: Sequence[Job], store: Store) -> list[Standing]:
    """One standing a job, in the same order.

    Records are read in full only where a job has one; of the others no more than tells whom they were for.
    """
    settled = {job.identity: found for job in jobs if (found := _settled(job, store)) is not None}
    open_jobs = [job for job in jobs if job.identity not in settled]
    old = _older(open_jobs, settled.keys(), store)
    stale = {job.name for job in open_jobs if job.name in old}
    return [_with_start(settled.get(job.identity) or _open(job, old, stale), store) for job in jobs]


def lost_checkpoint(job: Job, store: Store) -> str | None:
    """What to do where the row that a job starts from has its record, but no longer its checkpoint; else None."""
    origin = job.start
    if origin is None or not store.folder(origin.identity).record_file.exists():
        return None
    if store.folder(origin.identity).checkpoint.exists():
        return None
    again = f"qdet-bench run {origin.suite} --tier {origin.tier} --rows {origin.row.id} --again"
    return f"the checkpoint of row {origin.row.id}, which it starts from, is gone: `{again}` trains it anew"


def _with_start(standing: Standing, store: Store) -> Standing:
    lost = lost_checkpoint(standing.job, store) if standing.state in TO_PAY else None
    return standing if lost is None else standing._replace(reasons=(*standing.reasons, lost))


def _settled(job: Job, store: Store) -> Standing | None:
    if job.blocked is not None:
        return Standing(job, "blocked", (job.blocked,))
    folder = store.folder(job.identity)
    try:
        if (record := folder.record()) is not None:
            if changed := tuple(changed_sources(job, record)):
                return Standing(job, "stale", changed)
            return Standing(job, "done", ("restored from the baseline",) if folder.restored.exists() else ())
    except BenchError as error:
        return Standing(job, "failed", (str(error),))
    failure = folder.failure()
    return Standing(job, "failed", (failure.reason,)) if failure is not None else None


def changed_sources(job: Job, record: Record) -> Iterator[str]:
    """What to do about each own method or detector whose file has changed since the record; older ones do not know.

    A file is no part of the identity, since not each edit moves a number; but one that does may have been forgotten.
    """
    now = job.protocol.own_sources()
    for name, source in (record.provenance.own or {}).items():
        if now.get(name, source) != source:
            again = f"qdet-bench run {job.suite} --tier {job.tier} --rows {job.row.id} --again"
            yield f"{name}: its file has changed since: raise its `version`, or `{again}`"


def _open(job: Job, old: dict[str, dict[str, Any]], stale: set[str]) -> Standing:
    if job.name not in old:
        return Standing(job, "missing")
    reasons = changes(old[job.name], job.raw)
    if job.start is not None and job.start.name in stale:
        # The row that it starts from says itself what has changed.
        reasons = [f"start: row {job.start.row.id} has changed" if r.startswith("start ") else r for r in reasons]
    return Standing(job, "stale", tuple(reasons))


def _older(jobs: Iterable[Job], current: Iterable[str], store: Store) -> dict[str, dict[str, Any]]:
    """By a job's name the protocol of the newest record that was measured for it under another identity."""
    names = {job.name for job in jobs}
    known = {store.folder(identity).path.name for identity in current}
    marks = {json.dumps(name, ensure_ascii=False).encode() for name in names}
    newest: dict[str, tuple[str, dict[str, Any]]] = {}
    for folder in store.folders() if names else []:
        if folder.name in known:
            continue
        try:
            data = (folder / "record.json").read_bytes()
            # To search the bytes is a hundred times faster than to parse them.
            if not any(mark in data for mark in marks):
                continue
            record = json.loads(data)
            name, finished = record["provenance"]["asked_by"], str(record["cost"]["finished"])
            protocol, kind = record["protocol"], record.get("kind")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no record, or one that only its own job would complain about
        if name in names and kind == "measured" and isinstance(protocol, dict):
            newest[name] = max(newest.get(name, ("", {})), (finished, protocol), key=lambda item: item[0])
    return {name: protocol for name, (_, protocol) in newest.items()}
