"""A verdict, and the exit code of many."""

from collections.abc import Sequence
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
MOVED: frozenset[Status] = frozenset({"regressed", "improved", "changed"})
"""Outside the tolerance of the baseline."""
FAILING: frozenset[Status] = MOVED | {"fails"}
COMPARED: frozenset[Status] = MOVED | {"holds"}
"""Verdicts of a comparison with a baseline."""
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


def exit_code(verdicts: Sequence[Verdict]) -> Exit:
    """FAILED where one fails, else INCOMPLETE where a result is absent or not comparable.

    What a verdict on a published number says never changes it.
    """
    found = {verdict.status for verdict in verdicts if verdict.kind != "reference"}
    return Exit.FAILED if found & FAILING else Exit.INCOMPLETE if found & INCOMPLETE else Exit.OK


def compared(verdicts: Sequence[Verdict]) -> set[str]:
    """The rows that were compared with a baseline; one that was submitted to counts as another one."""
    return {
        f"{verdict.row} (external)" if verdict.kind == "external" else verdict.row
        for verdict in verdicts
        if verdict.kind in ("baseline", "external") and verdict.status in COMPARED
    }


def gate_code(verdicts: Sequence[Verdict], *, allow_uncompared: bool) -> Exit:
    """FAILED where one fails, else INCOMPLETE where no row was compared: a gate that saw nothing has not passed."""
    if exit_code(verdicts) == Exit.FAILED:
        return Exit.FAILED
    return Exit.OK if allow_uncompared or compared(verdicts) else Exit.INCOMPLETE
