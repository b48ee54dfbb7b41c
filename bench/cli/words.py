"""Values as the reading commands print them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def cost_words(cost: Mapping[str, Any]) -> str:
    """`12.5 min on one core, 7.0 min on two`, from the fields of a `bench.plan.cost.Cost`."""
    unknown = f" (without {cost['unknown']} jobs that declare none)" if cost["unknown"] else ""
    # "0.0 min" would be a promise where nothing is known.
    if cost["unknown"] and cost["unknown"] == cost["jobs"]:
        return "unknown, no job declares any"
    total, elapsed = cost["total_s"] / 60, cost["elapsed_s"] / 60
    return f"{total:.1f} min on one core, {elapsed:.1f} min on two{unknown}"


def yaml_lines(value: Any, indent: int = 0) -> Iterator[str]:
    """Lines of a mapping or list in YAML's form: short ones in brackets, others one entry a line."""
    pad = " " * indent
    if isinstance(value, dict):
        for key, entry in value.items():
            if not _is_deep(entry, indent + len(_flow(key)) + 2):
                yield f"{pad}{_flow(key)}: {_flow(entry)}"
            else:
                yield f"{pad}{_flow(key)}:"
                yield from yaml_lines(entry, indent + 2)
    else:
        for entry in value:
            if not _is_deep(entry, indent + 2):
                yield f"{pad}- {_flow(entry)}"
            else:
                first, *rest = yaml_lines(entry, indent + 2)
                yield f"{pad}- {first.lstrip()}"
                yield from rest


def _is_deep(value: Any, column: int) -> bool:
    return isinstance(value, dict | list) and bool(value) and column + len(_flow(value)) > WIDTH


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(entry) for entry in value) + "]"
    # JSON's scalars are YAML's; a string that no reader of YAML takes for anything else needs no quotes.
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
