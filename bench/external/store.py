"""External records: predictions that somebody computed elsewhere, scored here, in `results/local/external/`.

They lie apart from the folders of jobs, so that `run` cannot take one for a finished job.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from bench.errors import BenchError
from bench.records.files import read_model, write_json
from bench.records.record import Asked, Record
from bench.records.store import LOCAL
from bench.schema.base import Spec


class Submitted(Spec):
    """The file that was handed in."""

    file: str
    """Its name without folders, which differ from machine to machine."""
    sha256: str
    """Of its bytes as they were read, before any rounding."""
    note: str | None = None
    """Where the predictions come from, in the words of whoever submitted them."""

    @property
    def described(self) -> str:
        """`file dt.json, sha256 0123456789ab…`."""
        return f"file {self.file}, sha256 {self.sha256[:12]}…"


class ExternalRecord(Record):
    """A record without a job: nothing is known of how its predictions were made, so no fact of training stands in it.

    Its protocol is how it was scored (data, metric, versions) and the digest of its predictions.
    """

    kind: Literal["external"] = "external"
    submitted: Submitted


class ExternalStore:
    """What was submitted to the rows of a suite at a tier."""

    def __init__(self, root: Path, suite: str, tier: str) -> None:
        self.suite, self.tier = suite, tier
        self.folder = root / LOCAL / "external" / suite / tier

    def asked(self, row: str, repetition: int) -> Asked:
        """What a record of the row is made for; its name is what messages call it."""
        return Asked(self.suite, row, self.tier, repetition)

    def record_file(self, row: str, repetition: int) -> Path:
        """Where the record stands, whether it exists or not."""
        return self.folder / f"{row}.{repetition}.json"

    def predictions_file(self, row: str, repetition: int, digest: str) -> Path:
        """Where the predictions stand. The digest is in the name, so that a record always finds its own."""
        return self.folder / f"{row}.{repetition}.{digest[:12]}.npz"

    def repetitions(self, row: str) -> list[int]:
        """Those of the row that have a record, ascending."""
        pattern = re.compile(rf"{re.escape(row)}\.(0|[1-9]\d*)\.json")
        found = (pattern.fullmatch(path.name) for path in self.folder.glob("*.json"))
        return sorted(int(match[1]) for match in found if match)

    def load(self, row: str, repetition: int) -> ExternalRecord:
        """The record. BenchError where the file cannot be read, or is not the record of this repetition."""
        path = self.record_file(row, repetition)
        mend = "submit the predictions again with --replace, or remove it"
        try:
            record = read_model(path, ExternalRecord, "an external record", mend)
        except OSError as error:
            raise BenchError(f"{path}: cannot be read: {error.strerror}") from None
        if record is None:
            raise BenchError(f"{path}: there is no such record")
        if record.provenance.asked_by != self.asked(row, repetition).name:
            raise BenchError(f"{path}: the record of {record.provenance.asked_by}; {mend}")
        return record

    def save(
        self, row: str, repetition: int, record: ExternalRecord, write_predictions: Callable[[Path], object]
    ) -> Path:
        """Write the predictions, then the record, then remove predictions that an earlier record had; returns its file.

        BenchError where something cannot be written; an earlier record and its predictions are then as they were.
        """
        path = self.record_file(row, repetition)
        predictions = self.predictions_file(row, repetition, record.predictions.digest)
        is_new = not predictions.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_predictions(predictions)
            write_json(path, record.model_dump(mode="json"))
        except (OSError, BenchError) as error:
            if is_new:
                predictions.unlink(missing_ok=True)
            why = f"{path}: cannot be written: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise BenchError(why) from None
        # `.bin`: rounded predictions of earlier versions.
        pattern = re.compile(rf"{re.escape(path.stem)}\.[0-9a-f]{{12}}\.(npz|bin)")
        for other in self.folder.iterdir():
            if other != predictions and pattern.fullmatch(other.name):
                other.unlink(missing_ok=True)
        return path
