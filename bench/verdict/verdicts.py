"""A verdict, and the exit code of many."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from bench.errors import Exit

Kind = Literal["result", "baseline", "reference", "external"]
"""What it is about: the job itself, our earlier record, the published number, what was submitted to the row."""
Status = Literal[
    "holds",
    "regressed",
    "improved",
    "changed",
    "inconclusive",
    "no baseline",
    "fails",
    "absent",
    "blocked",
    "not run",
    "external",
    "stale",
    "reproduced",
    "not reproduced",
]
FAILING: frozenset[Status] = frozenset({"regressed", "improved", "changed", "fails"})
INCOMPLETE: frozenset[Status] = frozenset({"absent", "blocked", "inconclusive"})


@dataclass(frozen=True)
class Verdict:
    """What is said of one job, or of a row as a whole."""

    kind: Kind
    row: str
    repetition: int | None
    """None: of the row as a whole."""
    status: Status
    message: str = ""
    taint: str | None = None
    """Why it counts less than it says."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "kind": self.kind,
            "row": self.row,
            "repetition": self.repetition,
            "status": self.status,
            "message": self.message,
            "tainted": self.taint,
        }


def exit_code(verdicts: Iterable[Verdict], gate: bool) -> Exit:
    """FAILED where one fails, else INCOMPLETE where a result is absent or not comparable; a gate lets those pass.

    What a verdict on a published number says never changes it.
    """
    found = {verdict.status for verdict in verdicts if verdict.kind != "reference"}
    if found & FAILING:
        return Exit.FAILED
    return Exit.INCOMPLETE if found & INCOMPLETE and not gate else Exit.OK
