"""The parts that every record has, whether its predictions were made here or elsewhere."""

import resource
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.clock import now
from bench.records.provenance import commit, source_hash
from bench.records.record import Asked, Cost, DataFacts, Phase, Provenance
from bench.schema.data import Split

MOST_PROBLEMS = 100
"""Problems of the data that a record keeps."""


class Read(Protocol):
    """What a record says of a split that was read."""

    @property
    def problems(self) -> Sequence[tuple[str, str, str]]:
        """Kind, place and detail of what the reader found wrong."""

    def counts(self) -> dict[str, int]:
        """Number of images, of boxes, and of each kind of problem."""


class Stopwatch:
    """Time and memory of each phase of a job, from its first moment on."""

    def __init__(self) -> None:
        self.phases: dict[str, Phase] = {}
        self.started = now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what happens within; a phase that fails is not kept."""
        begin, busy = time.perf_counter(), time.process_time()
        yield
        self.phases[name] = Phase(
            wall_s=round(time.perf_counter() - begin, 3),
            cpu_s=round(time.process_time() - busy, 3),
            peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        )

    def cost(self) -> Cost:
        """All phases so far; the job ends now."""
        return Cost(started=self.started, finished=now(), host=socket.gethostname(), phases=self.phases)


def provenance(root: Path, arguments: Sequence[str], asked: Asked, own: Mapping[str, str] | None = None) -> Provenance:
    """Where a record of the checkout at `root` comes from; `arguments` is the command line as given, `own` as there."""
    head, dirty = commit(root)
    return Provenance(
        commit=head,
        dirty=dirty,
        source=source_hash(),
        arguments=tuple(map(readable, arguments)),
        asked_by=asked.name,
        own=dict(own) if own else None,
        **asked._asdict(),
    )


def data_facts(pin: str, splits: Mapping[Split, Read]) -> DataFacts:
    """Counts and first problems of the splits that were read."""
    problems = [
        f"{name}: {kind} {where}: {what}" for name, data in splits.items() for kind, where, what in data.problems
    ]
    counts: dict[str, dict[str, int]] = {name: data.counts() for name, data in splits.items()}
    return DataFacts(pin=pin, splits=counts, problems=tuple(problems[:MOST_PROBLEMS]))


def readable(text: str) -> str:
    """Without the lone surrogates that stand for bytes of a command line that are not UTF-8: JSON cannot hold them."""
    return text.encode("utf-8", "replace").decode()
