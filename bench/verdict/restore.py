"""Committed records go back into the local store, so that `run` goes on there: on another day or another machine.

Rows that others start from need their checkpoint, which `accept --checkpoints` keeps in `baselines/checkpoints/`.
"""

import hashlib
import json
import shutil
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError
from bench.plan.jobs import Job, plan
from bench.records.files import write_atomically, write_json, write_text
from bench.records.record import Record
from bench.records.store import JobFolder, Store
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import Baseline, baseline_file, load
from bench.verdict.gather import Results


class Restored(NamedTuple):
    """What became of a baseline's records."""

    restored: tuple[str, ...]
    """Names of the jobs that have a local record now."""
    there: tuple[str, ...]
    """That had one already."""
    left: dict[str, str]
    """Why a record was left out, by the job's name."""


def kept_checkpoint(root: Path, sha256: str) -> Path:
    """Where a committed checkpoint stands, whether it exists or not."""
    return root / "baselines" / "checkpoints" / f"{sha256[:16]}.pth"


def keep_checkpoints(results: Results) -> list[Path]:
    """Copy the local checkpoints that rows of the suite start from to where they are committed.

    Raises BenchError where one is absent or is not its record's.
    """
    store, kept = Store(results.located.root), []
    for record in {j.job.identity: j.record for j in results.jobs if _starts(j.job, results)}.values():
        if record is None or record.checkpoint_sha256 is None:
            continue
        path = kept_checkpoint(results.located.root, record.checkpoint_sha256)
        if not path.exists():
            source = store.folder(record.identity).checkpoint
            _copy(source, path, record.checkpoint_sha256)
        kept.append(path)
    return kept


def restore(located: Located, tier: Tier) -> Restored:
    """Put the baseline's records of the jobs that `run` would run into the local store, where they are not there.

    Predictions are no part of a baseline: what reads them says so. Raises BenchError where there is no baseline.
    """
    baseline = load(located, tier)
    if baseline is None:
        raise BenchError(f"{baseline_file(located, tier)}: there is no baseline to restore")
    jobs = plan(located, tier, further=lambda job: baseline.record(job.row.id, job.repetition) is not None)
    return _put_back(located, baseline, jobs, _origins(jobs))


def committed_starts(located: Located, tier: Tier, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that others start from whose model is committed and whose record is not in the local store."""
    store, origins = Store(located.root), _origins(jobs)
    absent = [job for job in jobs if job.identity in origins and not store.folder(job.identity).record_file.exists()]
    baseline = load(located, tier) if absent else None
    if baseline is None:
        return []
    records = [(job, baseline.record(job.row.id, job.repetition)) for job in absent]
    return [
        job
        for job, record in records
        if record is not None
        and record.identity == job.identity
        and kept_checkpoint(located.root, record.checkpoint_sha256 or "").is_file()
    ]


def restore_starts(located: Located, tier: Tier, jobs: Sequence[Job]) -> list[Job]:
    """Put back the committed models that jobs start from, where they are absent: `run` need not train them.

    Returns the jobs whose record was put back. Raises BenchError for a checkpoint that is not its record's.
    """
    committed = committed_starts(located, tier, jobs)
    baseline = load(located, tier) if committed else None
    if baseline is not None:
        _put_back(located, baseline, committed, _origins(jobs))
    return committed


def _origins(jobs: Sequence[Job]) -> set[str]:
    return {job.start.identity for job in jobs if job.start is not None}


def _put_back(located: Located, baseline: Baseline, jobs: Sequence[Job], origins: Container[str]) -> Restored:
    store, restored, there, left = Store(located.root), [], [], {}
    for job in jobs:
        record, folder = baseline.record(job.row.id, job.repetition), store.folder(job.identity)
        if record is None:
            continue
        if folder.record() is not None:
            there.append(job.name)
        elif (why := _unfit(record, job)) or (
            job.identity in origins and (why := _checkpoint(record, folder, located))
        ):
            left[job.name] = why
        else:
            write_text(folder.restored, f"{baseline_file(located, baseline.tier).name}\n")
            write_json(folder.record_file, json.loads(record.model_dump_json()))
            restored.append(job.name)
    return Restored(tuple(restored), tuple(there), left)


def _starts(job: Job, results: Results) -> bool:
    return any(j.job.start is not None and j.job.start.identity == job.identity for j in results.jobs)


def _unfit(record: Record, job: Job) -> str | None:
    if record.identity == job.identity:
        return None
    if job.absent:
        return f"what it was measured on is not here, so whether its protocol is another now is not known: {_mend(job)}"
    return "its protocol is another now"


def _mend(job: Job) -> str:
    return job.remedy or job.absent[0]


def _checkpoint(record: Record, folder: JobFolder, located: Located) -> str | None:
    """Put the checkpoint of a start back; why not, where that cannot be."""
    sha256 = record.checkpoint_sha256 or ""
    source = kept_checkpoint(located.root, sha256)
    if not source.is_file():
        return "other rows start from it and its checkpoint is not committed, so `run` trains it anew"
    _copy(source, folder.checkpoint, sha256)
    return None


def _copy(source: Path, target: Path, sha256: str) -> None:
    try:
        found = hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise BenchError(f"{source}: the checkpoint cannot be read: {error.strerror}") from None
    if found != sha256:
        raise BenchError(f"{source}: its sha256 is {found[:16]}…, its record says {sha256[:16]}…")
    write_atomically(target, lambda part: shutil.copyfile(source, part))
