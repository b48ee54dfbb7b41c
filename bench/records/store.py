"""Records on disk: one folder a job, named by its identity. A job is done when its record is there and whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError
from bench.records.files import read_model, write_json, write_text
from bench.records.record import Record

LOCAL = Path("results/local")
"""What a user measures, below the root; ignored by Git."""


MOST_TIDYINGS = 10
"""A worker tidies once, so as many runners may start a job at one moment."""


class Failure(NamedTuple):
    """Why a job has no record."""

    reason: str
    finished: str


class JobFolder:
    """The files of one job: all that exist are whole, since each is written beside its place and then renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job = path / "job.json"
        self.record_file = path / "record.json"
        self.predictions = path / "predictions.bin"
        self.checkpoint = path / "checkpoint.pth"
        self.losses = path / "losses.json"
        self.failure_file = path / "failure.json"
        self.restored = path / "restored"
        self.log = path / "log.txt"
        self.lock = path / "lock"
        self.work = path / "work"

    def record(self) -> Record | None:
        """The job's record; None where there is none. BenchError where the file is not a record of this job."""
        record = read_model(self.record_file, Record, "a record", "remove it to run the job again")
        if record is not None and not record.identity.startswith(self.path.name):
            raise BenchError(f"{self.record_file}: the record of another job; remove it to run this one again")
        return record

    def failure(self) -> Failure | None:
        """Why the last attempt failed; None where it did not."""
        try:
            data = json.loads(self.failure_file.read_text(encoding="utf-8"))
            return Failure(str(data["reason"]), str(data["finished"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return Failure("the note of the failure cannot be read", "")

    @property
    def ended(self) -> bool:
        """Whether the job has a record or a failure: one that runs, or was killed, has neither."""
        return self.record_file.exists() or self.failure_file.exists()

    def ask(self, order: str) -> None:
        """Write the order that a worker reads, also while a worker of another runner tidies the folder."""
        for attempt in range(MOST_TIDYINGS + 1):
            try:
                write_text(self.job, order)
                return
            except FileNotFoundError:  # its half-written file was taken for one that a killed attempt left
                if attempt == MOST_TIDYINGS:
                    raise

    def tidy(self) -> None:
        """Remove what a killed attempt left half written, and the note of an earlier failure."""
        for part in self.path.glob(".*.part"):
            part.unlink(missing_ok=True)
        self.failure_file.unlink(missing_ok=True)
        self.restored.unlink(missing_ok=True)

    def forget(self) -> None:
        """Make the job one that never ran: its record goes, and the note of where that came from."""
        self.record_file.unlink(missing_ok=True)
        self.restored.unlink(missing_ok=True)

    def fail(self, reason: str, finished: str) -> None:
        """Note a failure; it is never taken for a result."""
        write_json(self.failure_file, {"reason": reason, "finished": finished})


class Store:
    """All job folders below `root/results/local/jobs`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs = root / LOCAL / "jobs"
        self.data_cache = root / "data" / "shapes"

    def open(self) -> None:
        """Make the folder of jobs where there is none; OSError where that, or reading it, is impossible."""
        self.jobs.mkdir(parents=True, exist_ok=True)
        self.folders()

    def folder(self, identity: str) -> JobFolder:
        """The folder of a job; it need not exist."""
        return JobFolder(self.jobs / identity[:20])

    def folders(self) -> list[Path]:
        """The folders of all jobs that ever began, sorted; OSError where they cannot be read."""
        try:
            return sorted(path for path in self.jobs.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []

    def records(self) -> Iterator[Record]:
        """All whole records, in no order."""
        for path in self.folders():
            record = JobFolder(path).record()
            if record is not None:
                yield record
