"""One line of progress: rewritten on a terminal, a new line every few seconds elsewhere."""

import sys

from bench.clock import Every

LINE_EVERY_S = 10.0
REWRITE_EVERY_S = 0.1


class Ticker:
    """Called with what is done and what there is; writes to stderr, so that stdout stays clean for pipes."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.live = sys.stderr.isatty()
        self.every = Every(REWRITE_EVERY_S if self.live else LINE_EVERY_S)
        self.open = False

    def __enter__(self) -> "Ticker":
        return self

    def __exit__(self, *_: object) -> None:
        if self.open:
            print(file=sys.stderr)

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is, unless the last word was a moment ago."""
        if not self.every.due() and not (self.live and done == total):
            return
        self.open = self.live
        text = f"{self.what}: {done}/{total} images"
        print(
            f"\r\x1b[K{text}" if self.live else text,
            end="" if self.live else "\n",
            file=sys.stderr,
            flush=True,
        )
