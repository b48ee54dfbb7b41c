"""Progress in bytes: a bar on a terminal, a plain line every few seconds elsewhere; on stderr."""

import sys

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bench.clock import Every

LINE_EVERY_S = 10.0
MIB = 1 << 20


class Bar:
    """Called with what is being done, the bytes done, and the bytes in all (None: unknown)."""

    def __init__(self) -> None:
        self._what = ""
        self._every = Every(LINE_EVERY_S)
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
            console = Console(stderr=True)
            self._progress = Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console)

    def __enter__(self) -> "Bar":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Say how far it is; elsewhere than on a terminal at once for something new, then every LINE_EVERY_S."""
        if self._progress is not None:
            if what != self._what:
                self._what, self._task = what, self._progress.add_task(what, total=total)
            self._progress.update(self._task, completed=done, total=total)
        elif self._every.due(what):
            amount = f"{done / MIB:.1f}" + (f"/{total / MIB:.1f}" if total else "")
            print(f"{what}: {amount} MiB", file=sys.stderr, flush=True)
