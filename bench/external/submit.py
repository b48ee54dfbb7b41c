"""Predictions that were computed elsewhere, from a file to an external record. Imports no torch."""

import hashlib
import resource
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.dataset import Dataset
from bench.data.load import load
from bench.errors import BenchError, UsageError
from bench.evaluation.fields import read_bytes
from bench.evaluation.predictions import Predictions
from bench.evaluation.score import score
from bench.evaluation.scores import Scores
from bench.external.parse import parse_detections, resolve
from bench.external.protocol import scoring_protocol
from bench.external.store import ExternalRecord, ExternalStore, Submitted
from bench.plan.identity import identity
from bench.records.environment import environment, environment_key
from bench.records.provenance import commit, source_hash
from bench.records.record import Cost, DataFacts, Phase, Provenance, SavedPredictions
from bench.records.store import Store
from bench.schema.load import Located
from bench.schema.suite import Tier

SCORING = ("numpy", "pillow", "pycocotools")
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


class Kept(NamedTuple):
    """A record that was written."""

    path: Path
    record: ExternalRecord
    images: int
    """Images with at least one detection, of those in the split."""


def submit(located: Located, tier: Tier, asked: Submission, replace: bool = False) -> Kept:
    """Check, round, score and keep the predictions of `asked.file`; nothing is written before all is sound.

    Raises UsageError for a row that the suite lacks, an impossible repetition, one that has an external record
    already (unless `replace`), or a file that does not fit the suite's test split; BenchError for absent data.
    """
    store = _place(located, tier, asked, replace)
    data = read_bytes(asked.file)
    found = parse_detections(asked.file, data)
    started, begin = _now(), time.perf_counter()
    spec = located.suite.tiers[tier]
    protocol = scoring_protocol(located, tier)
    dataset = load(spec.data, "test", located.root, Store(located.root).data_cache)
    detections = resolve(found, dataset.coco, f"the test split of {located.name} at tier {tier}")
    try:
        predictions = Predictions.from_coco(detections)
    except BenchError as error:
        raise UsageError(f"{asked.file}: {error}") from None
    if all(annotation["iscrowd"] for annotation in dataset.coco["annotations"]):
        raise BenchError(f"{located.name}, tier {tier}: the test split has no object, so no score is defined")
    scores = score(dataset.coco, predictions.to_coco(), spec.metric)
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    phase = Phase(wall_s=round(time.perf_counter() - begin, 3), peak_mib=peak)
    cost = Cost(started=started, finished=_now(), host=socket.gethostname(), phases={"score": phase})
    name = store.name(asked.row, asked.repetition)
    submitted = Submitted(
        file=_readable(asked.file.name),
        sha256=hashlib.sha256(data).hexdigest(),
        note=_readable(" ".join(asked.note.split())) if asked.note else None,
    )
    record = _record(located, protocol, dataset, predictions, scores, submitted, name, asked.arguments, cost)
    path = store.save(asked.row, asked.repetition, record, predictions.save)
    return Kept(path, record, len({d["image_id"] for d in detections}))


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


def _record(
    located: Located, scoring: dict[str, Any], dataset: Dataset, predictions: Predictions, scores: Scores,
    submitted: Submitted, name: str, arguments: tuple[str, ...], cost: Cost,
) -> ExternalRecord:  # fmt: skip
    protocol = scoring | {"predictions": predictions.digest()}
    facts = environment("none", 1, 0)
    packages = facts["packages"]
    facts["packages"] = {package: packages[package] for package in SCORING if package in packages}
    head, dirty = commit(located.root)
    return ExternalRecord(
        identity=identity(protocol),
        protocol=protocol,
        metrics=scores.metrics,
        per_category=scores.per_category,
        scorer=f"pycocotools {packages.get('pycocotools')}" if scoring["metric"]["variant"] == "coco" else "bench",
        predictions=SavedPredictions(digest=predictions.digest(), count=len(predictions)),
        placement=None,
        data=_data_facts(scoring["data"]["pin"], dataset),
        training=None,
        checkpoint_sha256=None,
        environment=facts,
        environment_key=environment_key(facts),
        provenance=Provenance(
            commit=head, dirty=dirty, source=source_hash(), arguments=tuple(map(_readable, arguments)), asked_by=name
        ),
        cost=cost,
        submitted=submitted,
    )


def _data_facts(pin: str, dataset: Dataset) -> DataFacts:
    problems = [f"test: {p.kind} {p.where}: {p.detail}" for p in dataset.problems[:100]]
    return DataFacts(pin=pin, splits={"test": dataset.counts()}, problems=tuple(problems))


def _readable(text: str) -> str:
    """Without the lone surrogates that stand for bytes of a command line that are not UTF-8: JSON cannot hold them."""
    return text.encode("utf-8", "replace").decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
