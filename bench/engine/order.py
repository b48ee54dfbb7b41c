"""What the scheduler hands to a worker process: a job and its paths, as JSON."""

from pathlib import Path
from typing import Literal, get_args

from bench.records.record import Asked
from bench.schema.base import Spec
from bench.schema.placement import Pins
from bench.schema.protocol import Protocol

Logger = Literal["tensorboard", "mlflow", "wandb"]
LOGGERS: tuple[Logger, ...] = get_args(Logger)


class Start(Spec):
    """The checkpoint that a job starts from."""

    checkpoint: Path
    sha256: str
    lineage: tuple[Protocol, ...] = ()
    """Of the rows behind it, the first row's first: their methods changed the structure of its model."""


class Order(Spec):
    """One job, ready to run."""

    identity: str
    protocol: Protocol
    root: Path
    start: Start | None
    pins: Pins | None
    threads: int = 1
    arguments: tuple[str, ...]
    asked: Asked
    """Suite, row, tier and seed that the job is first run for."""
    log: Logger | None = None
    """Where its curves are sent while it trains; no part of what it computes."""
