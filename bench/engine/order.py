"""What the runner hands to a worker process: a job with its paths, as JSON."""

from pathlib import Path
from typing import Any

from bench.schema.base import Spec
from bench.schema.placement import Pins


class Start(Spec):
    """The checkpoint that a job starts from."""

    checkpoint: Path
    sha256: str
    methods: tuple[dict[str, Any], ...] = ()
    """Of all rows behind it, the first row's first: they adapted its model."""
    attention: bool = False
    """Whether one of them quantized attention, which made it explicit."""


class Order(Spec):
    """One job, ready to run."""

    identity: str
    protocol: dict[str, Any]
    data: dict[str, Any]
    """The data specification as declared, with its paths."""
    root: Path
    start: Start | None
    pins: Pins | None
    threads: int = 1
    arguments: tuple[str, ...]
    asked_by: str
