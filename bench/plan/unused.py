"""What of the store no suite needs: folders of jobs that none asks for any more, leftovers, and Shapes of none."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.kind import FolderKind
from bench.data.load import kind_of
from bench.data.shapes.write import MARKER
from bench.errors import BenchError
from bench.plan.jobs import Job, plan
from bench.records.store import JobFolder, Store
from bench.records.usage import Size, size_of
from bench.schema.load import Located
from bench.schema.protocol import pinned


class Unused(NamedTuple):
    """Something to remove, and why it may go."""

    path: Path
    why: str
    size: Size


class Found(NamedTuple):
    """What `gc` may remove, and what it keeps although no suite asks for it."""

    unused: list[Unused]
    kept: dict[str, int]
    """Number of job folders by why they stay."""


def find_unused(suites: Sequence[Located], store: Store, gone: bool = False) -> Found:
    """Of the suites that are all that there are; with `gone`, records of suites that are not among them go too.

    A job stays that some suite asks for at some tier, in any repetition. One whose data are absent now has no
    identity to be found by, so everything on such data stays; and a job that is running.
    """
    jobs = _all_jobs(suites, store)
    current = {store.folder(job.identity).path.name for job in jobs}
    names = {located.name for located in suites}
    blocked = {(job.suite, job.tier) for job in jobs if job.blocked is not None}
    absent = {_data(pinned(job.protocol.data, "")) for job in jobs if job.blocked is not None}
    unused, kept = [*_leftovers(jobs, store), *_drawings(suites, store)], dict[str, int]()
    for folder in store.folders():
        if folder.name in current or folder.is_symlink():
            continue
        asked = _asked(JobFolder(folder))
        if asked is None:
            why = "neither its record nor its order can be read"
        elif _running(JobFolder(folder)):
            why = "running"
        elif (asked.suite, asked.tier) in blocked or asked.data in absent:
            why = f"its data are absent, so nobody knows whether {asked.suite} {asked.tier} needs it"
        elif asked.suite not in names and not gone:
            why = f"suite {asked.suite} is not here (--gone takes it too)"
        else:
            words = "asks for it no longer" if asked.suite in names else "is not here"
            unused.append(Unused(folder, f"{asked.suite} {asked.tier} {words}", size_of(folder)))
            continue
        kept[why] = kept.get(why, 0) + 1
    return Found(unused, kept)


def remove(unused: Sequence[Unused]) -> list[Unused]:
    """Remove them; those are returned that began to run meanwhile and stay. OSError where one cannot be removed."""
    stay = []
    for one in unused:
        if (one.path / "lock").exists():
            with _locked(one.path / "lock") as mine:
                if not mine:
                    stay.append(one)
                    continue
                shutil.rmtree(one.path)
        elif one.path.is_dir():
            shutil.rmtree(one.path)
        else:
            one.path.unlink(missing_ok=True)
    return stay


def _all_jobs(suites: Sequence[Located], store: Store) -> list[Job]:
    """Of every tier, with the further repetitions that somebody ran."""

    def has_folder(job: Job) -> bool:
        return store.folder(job.identity).path.is_dir()

    tiers = [(located, tier) for located in suites for tier in located.suite.tiers]
    return [job for located, tier in tiers for job in plan(located, tier, further=has_folder)]


def _leftovers(jobs: Sequence[Job], store: Store) -> Iterator[Unused]:
    """Of jobs that have their record: snapshots, and files that a killed attempt left half written."""
    for folder in {job.identity: store.folder(job.identity) for job in jobs}.values():
        if folder.record_file.exists() and not _running(folder):
            for path in (folder.work, *folder.path.glob(".*.part")):
                if path.exists():
                    yield Unused(path, "left by an attempt whose job has its record", size_of(path))


def _drawings(suites: Sequence[Located], store: Store) -> Iterator[Unused]:
    """Shapes that no suite declares, or reads as a folder of its own."""
    used: set[Path] = set()
    for located in suites:
        for spec in located.suite.tiers.values():
            kind = kind_of(spec.data, located.root)
            try:
                folder = kind.folder if isinstance(kind, FolderKind) else store.data_cache / kind.name
            except BenchError:
                continue  # an unset variable
            used |= {folder.resolve(), *folder.resolve().parents}
    for marker in sorted(store.data_cache.glob(f"shapes-*/{MARKER}")):
        if marker.parent.resolve() not in used:
            yield Unused(marker.parent, "Shapes that no suite declares", size_of(marker.parent))


class _Asked(NamedTuple):
    """Whom a job was first run for; its data set as `_data` has it, None where only its order tells."""

    suite: str
    tier: str
    data: str | None


def _asked(folder: JobFolder) -> _Asked | None:
    """None where neither its record nor its order can be read."""
    try:
        if (record := folder.record()) is not None:
            asked = record.provenance.asked
            return None if asked is None else _Asked(asked.suite, asked.tier, _data(record.part("data")))
        suite, _, tier, _ = json.loads(folder.job.read_bytes())["asked"]
        return _Asked(suite, tier, None)
    except (BenchError, OSError, ValueError, KeyError, TypeError):
        return None


def _data(spec: dict[str, Any]) -> str:
    """A data set as protocols have it, without its fingerprint, which hangs on whether it is there."""
    return json.dumps({key: value for key, value in spec.items() if key != "pin"}, sort_keys=True)


def _running(folder: JobFolder) -> bool:
    if not folder.lock.exists():
        return False
    with _locked(folder.lock) as mine:
        return not mine


@contextmanager
def _locked(file: Path) -> Iterator[bool]:
    """Whether nobody else holds a job's lock, which is held meanwhile."""
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
