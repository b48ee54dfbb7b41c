"""Records by the names that a user gives them, with the predictions and the data that they are of. Imports no torch."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.data.dataset import Dataset
from bench.data.load import load
from bench.errors import BenchError, UsageError
from bench.evaluation import exact
from bench.evaluation.boxes import Detections
from bench.evaluation.predictions import Predictions
from bench.external.protocol import scoring_protocol
from bench.external.store import ExternalRecord, ExternalStore
from bench.plan.changes import changes
from bench.plan.jobs import plan
from bench.records.record import Record
from bench.records.store import LOCAL, Store
from bench.schema.load import Located, load_suite
from bench.schema.suite import Tier
from bench.verdict.baseline import load as load_baseline
from bench.verdict.kept import kept_predictions

_ROW = re.compile(r"(?P<suite>[^:]+):(?P<row>[^:]+)(:(?P<seed>\d{1,9}))?")
_IDENTITY = re.compile(r"[0-9a-f]{6,64}")


class Side(NamedTuple):
    """A record, and the file of its predictions."""

    name: str
    record: Record
    predictions: Path


def find_side(text: str, root: Path, tier: Tier | None = None) -> Side:
    """The record that `SUITE:ROW`, `SUITE:ROW:SEED` or the beginning of an identity names.

    A row is meant at the tier, or without one at the suite's default. Raises UsageError where it names none or
    several, BenchError where the record cannot be read.
    """
    if (match := _ROW.fullmatch(text)) is not None:
        return _of_row(root, match["suite"], match["row"], tier, int(match["seed"] or 0))
    if not _IDENTITY.fullmatch(text):
        raise UsageError(
            f"{text}: neither SUITE:ROW nor 6 or more digits of an identity; detection files are compared with --gt"
        )
    found = {side.record.identity: side for side in _all(root) if side.record.identity.startswith(text)}
    if len(found) != 1:
        what = f"{len(found)} records have identities that begin so" if found else "no record has such an identity"
        raise UsageError(f"{text}: {what} below {root / LOCAL}")
    return next(iter(found.values()))


def refuse_different(a: Side, b: Side, parts: Sequence[str]) -> None:
    """Raise UsageError where these parts of the two protocols differ."""
    for what in parts:
        if differences := changes(a.record.part(what), b.record.part(what)):
            listed = "; ".join(f"{what}.{text}" for text in differences)
            raise UsageError(f"{a.name} and {b.name} are not compared: {listed}")


def _of_row(root: Path, suite: str, row: str, tier: Tier | None, seed: int) -> Side:
    located = load_suite(suite, root)
    tier = tier or located.default_tier
    rows = [r.id for r in located.suite.rows]
    if row not in rows:
        raise UsageError(f"{located.name} has no row {row!r}; it has {', '.join(rows)}")
    job = next((j for j in plan(located, tier) if (j.row.id, j.repetition) == (row, seed)), None)
    if job is not None and (side := _local(Store(root), job.identity)) is not None:
        return side
    store = ExternalStore(root, located.name, tier)
    if store.record_file(row, seed).exists():
        return _external(store, row, seed, store.load(row, seed))
    if (side := _committed(located, row, seed, tier)) is not None:
        return side
    name = store.asked(row, seed).name
    if (baseline := load_baseline(located, tier)) is not None and baseline.record(row, seed) is not None:
        raise UsageError(
            f"{name} has a committed record, without predictions: `qdet-bench run {located.name} --tier {tier} "
            f"--rows {row}` makes both, `qdet-bench restore {located.name} --tier {tier}` brings the record"
        )
    raise UsageError(f"{name} has no record; `qdet-bench run` or `submit` makes one")


def _committed(located: Located, row: str, seed: int, tier: Tier) -> Side | None:
    """The baseline's record, where its predictions are committed too."""
    baseline = load_baseline(located, tier)
    record = None if baseline is None else baseline.record(row, seed)
    if record is None or not (path := kept_predictions(located.root, record)).is_file():
        return None
    return Side(f"{record.provenance.asked_by} (committed)", record, path)


def _local(store: Store, identity: str) -> Side | None:
    folder = store.folder(identity)
    record = folder.record()
    return None if record is None else side_of(store.root, record)


def side_of(root: Path, record: Record) -> Side:
    """A record with its predictions: the committed ones, whose name is their digest, else those of the store."""
    asked = record.provenance.asked
    if isinstance(record, ExternalRecord) and asked is not None:
        return _external(ExternalStore(root, asked.suite, asked.tier), asked.row, asked.seed, record)
    kept = kept_predictions(root, record)
    path = kept if kept.is_file() else Store(root).folder(record.identity).predictions
    return Side(record.provenance.asked_by, record, path)


def _external(store: ExternalStore, row: str, seed: int, record: ExternalRecord) -> Side:
    predictions = store.predictions_file(row, seed, record.predictions.digest)
    return Side(f"{store.asked(row, seed).name} (external)", record, predictions)


def _all(root: Path) -> Iterator[Side]:
    store = Store(root)
    for folder in store.folders():
        if (side := _local(store, folder.name)) is not None:
            yield side
    base = root / LOCAL / "external"
    for path in sorted(base.rglob("*.json")):
        folder = path.parent.relative_to(base)
        row, _, seed = path.stem.rpartition(".")
        external = ExternalStore(root, folder.parent.as_posix(), folder.name)
        yield _external(external, row, int(seed), external.load(row, int(seed)))


def data_of(side: Side, root: Path) -> Dataset:
    """What the record's predictions are of; BenchError where it is not here, or its suite declares other data now."""
    asked = side.record.provenance.asked
    if asked is None:
        raise BenchError(f"{side.name}: its record does not say which suite it was run for")
    located = load_suite(asked.suite, root)
    tier = next((tier for tier in located.suite.tiers if tier == asked.tier), None)
    if tier is None:
        raise BenchError(f"{side.name}: {located.name} no longer has tier {asked.tier}, so its data are not known")
    return data_at(side, located, tier)


def data_at(side: Side, located: Located, tier: Tier) -> Dataset:
    """The data of a suite's tier; BenchError where the record's predictions are of others, or these are not here."""
    now = scoring_protocol(located, tier).raw_data()
    if differences := changes(side.record.part("data"), now):
        listed = "; ".join(f"data.{text}" for text in differences)
        raise BenchError(f"{side.name}: {located.name} declares other data now ({listed})")
    return load(located.suite.tiers[tier].data, side.record.split, located.root, Store(located.root).data_cache)


def detections_of(side: Side) -> Detections:
    """The saved predictions; BenchError where they are absent, or no longer those of the record."""
    asked = side.record.provenance.asked
    if isinstance(side.record, ExternalRecord):
        if not side.predictions.exists() and asked is not None:
            again = f"qdet-bench submit {asked.suite} {asked.row} --dt FILE --tier {asked.tier} --replace"
            raise BenchError(f"{side.name}: its predictions are not here: `{again}` enters them")
        found = exact.load(side.predictions)
        digest, mend = exact.digest(found), "submit them again with --replace"
    else:
        if not side.predictions.exists() and asked is not None:
            again = f"qdet-bench run {asked.suite} --tier {asked.tier} --rows {asked.row} --again"
            raise BenchError(f"{side.name}: its predictions are not here (a baseline holds none): `{again}` makes them")
        predictions = Predictions.load(side.predictions)
        found, digest, mend = predictions.detections(), predictions.digest(), "run the job again"
    if digest != side.record.predictions.digest:
        raise BenchError(f"{side.predictions}: not the predictions of {side.name}; {mend}")
    return found
