"""A verdict, and the exit code of many."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

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
FAILED_EXIT, INCOMPLETE_EXIT = 1, 3


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


def exit_code(verdicts: Iterable[Verdict], gate: bool) -> int:
    """1 where one fails, else 3 where a result is absent or could not be compared, else 0; a gate lets those pass.

    What a verdict on a published number says never changes it.
    """
    found = {verdict.status for verdict in verdicts if verdict.kind != "reference"}
    if found & FAILING:
        return FAILED_EXIT
    return INCOMPLETE_EXIT if found & INCOMPLETE and not gate else 0
