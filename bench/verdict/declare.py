"""Tolerances from the command line, such as `lsq-w4a4=absolute:0.3`, into a baseline that exists."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from bench.errors import UsageError
from bench.verdict.baseline import B
from bench.verdict.tolerances import Tolerance, Tolerances

EVERY = "*"
"""In place of a row: all rows without a tolerance of their own."""
FORMS = "exact, absolute:POINTS, ratio:PERCENT:ROW or statistical[:POINTS]"
_ADAPTER: TypeAdapter[Tolerance] = TypeAdapter(Tolerance)


class Declared(NamedTuple):
    """A tolerance for a row, or for every row."""

    row: str
    tolerance: Tolerance


def parse_tolerance(text: str, metric: str, reason: str | None) -> Declared:
    """From `ROW=KIND[:VALUE[:ROW]]`, on the headline metric, or from `ROW:GROUP.METRIC=…`; UsageError for others."""
    row, equals, spec = text.partition("=")
    metric = row.partition(":")[2] or metric
    kind, *rest = spec.split(":")
    wrong = UsageError(f"--tolerance {text}: must be ROW=TOLERANCE, where TOLERANCE is {FORMS}")
    if not equals or not row:
        raise wrong
    content: dict[str, Any] = {"kind": kind}
    match kind, rest:
        case "exact", []:
            return Declared(row, _ADAPTER.validate_python(content))
        case "absolute", [value]:
            content["value"] = _fraction(value, wrong)
        case "ratio", [value, other]:
            content |= {"value": _fraction(value, wrong), "row": other}
        case "statistical", []:
            pass
        case "statistical", [value]:
            content["margin"] = _fraction(value, wrong)
        case _:
            raise wrong
    if reason is None or not reason.strip():
        raise UsageError(f"--tolerance {text}: needs --reason TEXT, which says why this row may move")
    try:
        return Declared(row, _ADAPTER.validate_python(content | {"metric": metric, "reason": " ".join(reason.split())}))
    except ValidationError:
        raise wrong from None


def declare(baseline: B, declared: Sequence[Declared], where: str) -> B:
    """The baseline with these tolerances; UsageError for a row that it has no record of."""
    known = list(dict.fromkeys(entry.row for entry in baseline.entries))
    rows, default = dict(baseline.tolerances.rows), baseline.tolerances.default
    for row, tolerance in declared:
        divisor = getattr(tolerance, "row", row)
        for name in (row.partition(":")[0], divisor.partition(":")[0]):
            if name not in (*known, EVERY):
                raise UsageError(f"--tolerance {row}: {where} has no row {name!r}; it has {', '.join(known)}")
        if ":" in row:
            rows[row] = tolerance
        elif row == EVERY:
            default = tolerance
        elif tolerance.kind == "exact" and default.kind == "exact":
            rows.pop(row, None)
        else:
            rows[row] = tolerance
    found = Tolerances(default=default, rows=rows)
    for key, tolerance in rows.items():
        row, colon, _ = key.partition(":")
        whole = default if row == EVERY else found.of(row)
        if colon and tolerance.kind != whole.kind:
            raise UsageError(f"--tolerance {key}: {row} itself is held to {whole.kind}, not {tolerance.kind}")
    return baseline.model_copy(update={"tolerances": found})


def _fraction(text: str, wrong: UsageError) -> float:
    try:
        value = float(text) / 100
    except ValueError:
        raise wrong from None
    if not math.isfinite(value):
        raise wrong
    return value
