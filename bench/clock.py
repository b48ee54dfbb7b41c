"""The time of day as records have it, and progress that speaks only every few seconds."""

import time
from datetime import UTC, datetime


def now() -> str:
    """The time in UTC, in whole seconds, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Every:
    """Says whether it is time to report again: when something new is reported on, or after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._what = ""
        self._last = time.monotonic()

    def due(self, what: str = "") -> bool:
        """Whether to report on `what` now; the seconds count from the last time that this was so."""
        moment = time.monotonic()
        if what == self._what and moment - self._last < self._seconds:
            return False
        self._what, self._last = what, moment
        return True
