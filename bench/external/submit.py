"""Predictions that were computed elsewhere, from a file to an external record. Imports no torch."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.data.dataset import Problem
from bench.data.doubts import doubts
from bench.data.entries import read_bytes
from bench.data.load import load
from bench.errors import BenchError, UsageError
from bench.evaluation import exact
from bench.evaluation.files import parse_detections
from bench.evaluation.metric import metric_of
from bench.evaluation.spelling import Dialect, Known
from bench.external.protocol import scoring_protocol
from bench.external.store import ExternalRecord, ExternalStore, Submitted
from bench.plan.identity import identity
from bench.records.build import Stopwatch, data_facts, provenance, readable
from bench.records.environment import environment, environment_key
from bench.records.record import SavedPredictions
from bench.records.store import Store
from bench.schema.load import Located
from bench.schema.suite import Tier

SCORING = ("hotcoco", "numpy", "pillow", "pycocotools")
"""Packages that may move a score; what the predictions were made with is not known here."""
MOST_REPETITIONS = 1 << 31
"""Seeds lie below it."""


class Submission(NamedTuple):
    """What was handed in, and for which repetition of which row."""

    row: str
    repetition: int
    file: Path
    note: str | None = None
    arguments: tuple[str, ...] = ()
    """The command line as given."""
    dialect: Dialect = Dialect()


class Kept(NamedTuple):
    """A record that was written."""

    path: Path
    record: ExternalRecord
    images: int
    """Images with at least one detection, of those in the split."""
    problems: tuple[Problem, ...]
    """What was left out of the file or the ground truth, and what is probably a mistake in either."""


def submit(located: Located, tier: Tier, asked: Submission, replace: bool = False) -> Kept:
    """Check, score and keep the predictions of `asked.file` as they are; nothing is written before all is sound.

    Raises UsageError for a row that the suite lacks, an impossible repetition, one that has an external record
    already (unless `replace`), or a file that does not fit the suite's test split; BenchError for absent data.
    """
    store = _place(located, tier, asked, replace)
    data = read_bytes(asked.file)
    watch, spec = Stopwatch(), located.suite.tiers[tier]
    with watch.phase("score"):
        protocol = scoring_protocol(located, tier)
        dataset = load(spec.data, "test", located.root, Store(located.root).data_cache)
        known = Known(dataset.coco, f"the test split of {located.name} at tier {tier}", dataset.left_out)
        found, problems = parse_detections(asked.file, data, known, asked.dialect)
        if all(annotation["iscrowd"] for annotation in dataset.coco["annotations"]):
            raise BenchError(f"{located.name}, tier {tier}: the test split has no object, so no score is defined")
        scores = metric_of(spec.metric).score(dataset.coco, found)
    digest = exact.digest(found)
    submitted = Submitted(
        file=readable(asked.file.name),
        sha256=hashlib.sha256(data).hexdigest(),
        note=readable(" ".join(asked.note.split())) if asked.note else None,
    )
    raw = protocol.raw(digest)
    facts = _environment()
    record = ExternalRecord(
        identity=identity(raw),
        protocol=raw,
        metrics=scores.metrics,
        per_category=scores.per_category,
        category_images=scores.images,
        scorer=scores.scorer,
        predictions=SavedPredictions(digest=digest, count=len(found)),
        placement=None,
        data=data_facts(protocol.pin, {"test": dataset}),
        training=None,
        checkpoint_sha256=None,
        environment=facts,
        environment_key=environment_key(facts),
        provenance=provenance(located.root, asked.arguments, store.asked(asked.row, asked.repetition)),
        cost=watch.cost(),
        submitted=submitted,
    )
    path = store.save(asked.row, asked.repetition, record, partial(exact.save, found))
    return Kept(path, record, len(np.unique(found.image)), (*dataset.problems, *problems, *doubts(dataset.coco)))


def _environment() -> dict[str, Any]:
    """Of scoring alone."""
    facts = environment("none", 1, 0, extras=SCORING)
    versions = facts["packages"]
    return {**facts, "packages": {package: versions[package] for package in SCORING if package in versions}}


def _place(located: Located, tier: Tier, asked: Submission, replace: bool) -> ExternalStore:
    rows = [row.id for row in located.suite.rows]
    if asked.row not in rows:
        raise UsageError(f"{located.name} has no row {asked.row!r}; it has {', '.join(rows)}")
    if located.suite.row(asked.row).scored != "test":
        raise UsageError(f"{located.name} {asked.row} is scored on the tune split; only test detections are submitted")
    if not 0 <= asked.repetition < MOST_REPETITIONS:
        raise UsageError(f"--seed {asked.repetition}: must be from 0 to {MOST_REPETITIONS - 1}")
    store = ExternalStore(located.root, located.name, tier)
    path = store.record_file(asked.row, asked.repetition)
    if path.exists() and not replace:
        raise UsageError(f"{path}: there is an external record already; --replace takes its place")
    return store
