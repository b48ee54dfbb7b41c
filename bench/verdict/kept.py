"""Committed predictions: of one repetition of the rows that claims are about, so that pictures work in a clone."""

import shutil
from functools import partial
from pathlib import Path

from bench.errors import BenchError
from bench.records.files import write_atomically
from bench.records.record import Record
from bench.records.store import Store
from bench.verdict.gather import Results

FOLDER = Path("baselines/predictions")
MOST_BYTES = 400_000
"""Of one file; larger ones stay where they are."""


def kept_predictions(root: Path, record: Record) -> Path:
    """Where the committed predictions of a record stand, whether they exist or not."""
    return root / FOLDER / f"{record.predictions.digest[:16]}.bin"


def keep_predictions(results: Results) -> list[Path]:
    """Copy the local predictions of the first repetition of each row of a claim, where they are here and small."""
    suite, kept = results.located.suite, []
    wanted = {row for claim in suite.claims for row in claim.rows}
    store = Store(results.located.root)
    for result in results.jobs:
        source = store.folder(result.job.identity).predictions
        if result.record is None or result.job.repetition or result.job.row.id not in wanted or not source.is_file():
            continue
        path = kept_predictions(results.located.root, result.record)
        if source.stat().st_size <= MOST_BYTES:
            try:
                write_atomically(path, partial(shutil.copyfile, source))
            except OSError as error:
                raise BenchError(f"{path}: cannot be written: {error.strerror}") from None
            kept.append(path)
    return kept
