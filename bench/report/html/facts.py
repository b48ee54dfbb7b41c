"""What a method recorded of itself (`facts`), drawn by its form alone: a new method needs no line here."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from bench.report.html.axis import Axis, axis, with_minus
from bench.report.html.curves import Curves, curves
from bench.report.html.rows import label
from bench.report.sections import Section

FEW = 4
"""Numbers by name from which on they are drawn as bars; fewer are written as words."""


class Bars(NamedTuple):
    """A number by name."""

    scale: Axis
    zero: float
    bars: tuple[tuple[str, float, str], ...]
    """Name, place of the bar's end, and the number in words."""


class Fact(NamedTuple):
    """One entry of what a method tells; exactly one of the forms is there."""

    name: str
    kind: Literal["value", "bars", "curve", "table", "facts"]
    value: str = ""
    bars: Bars | None = None
    curve: Curves | None = None
    heads: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()
    facts: tuple["Fact", ...] = ()


class RowFacts(NamedTuple):
    """Of the first runs of rows that tell the same."""

    labels: tuple[str, ...]
    methods: tuple[Fact, ...]


def told(section: Section) -> Iterator[RowFacts]:
    """In the order of the rows; those that tell nothing are left out."""
    labels: dict[tuple[Fact, ...], list[str]] = {}
    for row in section.results.rows:
        records = (job.record for job in row.jobs if job.record is not None)
        found: Mapping[str, Any] = next((record.facts for record in records if record.facts), {})
        if methods := tuple(fact(name, value) for name, value in found.items()):
            labels.setdefault(methods, []).append(label(row.row))
    for methods, rows in labels.items():
        yield RowFacts(tuple(rows), methods)


def fact(name: str, value: Any) -> Fact:
    """The form that fits: curve, bars by name, table, further facts, or the value in words."""
    name = name.replace("_", " ")
    value = _without_empty(value)
    if isinstance(value, Mapping) and value:
        return _mapping(name, value)
    if isinstance(value, list | tuple) and len(value) >= FEW:
        if all(map(_is_number, value)) and not all(isinstance(v, int) for v in value):  # a list of counts is no curve
            return _curve(name, "step", [(float(k), float(v)) for k, v in enumerate(value, 1)])
        if all(isinstance(v, list | tuple) and len(v) == 2 and all(map(_is_number, v)) for v in value):
            return _curve(name, "the first of each pair", sorted((float(a), float(b)) for a, b in value))
    return Fact(name, "value", value=text(value))


def _without_empty(value: Any) -> Any:
    """Without the entries of a mapping that hold nothing."""
    return {k: v for k, v in value.items() if v not in (None, "", [], {})} if isinstance(value, Mapping) else value


def _mapping(name: str, value: Mapping[str, Any]) -> Fact:
    plain = len(value) >= FEW and not any(isinstance(v, Mapping | list | tuple) for v in value.values())
    if plain and len(set(value.values())) == 1:
        return Fact(name, "value", value=f"{text(next(iter(value.values())))} for all {len(value)}")
    if len(value) >= FEW and all(_is_number(v) for v in value.values()):
        return Fact(name, "bars", bars=_bars(value))
    if len(value) > 1 and all(
        isinstance(v, Mapping) and not any(isinstance(w, Mapping) for w in v.values()) for v in value.values()
    ):
        heads = tuple(dict.fromkeys(key for line in value.values() for key in line))
        lines = tuple((key, *(text(line.get(head, "")) for head in heads)) for key, line in value.items())
        return Fact(name, "table", heads=("", *heads), lines=lines)
    if plain:
        return Fact(name, "table", heads=("", name), lines=tuple((key, text(v)) for key, v in value.items()))
    return Fact(name, "facts", facts=tuple(fact(key, v) for key, v in value.items()))


def _bars(value: Mapping[str, float]) -> Bars:
    scale = axis(value.values(), zero=True)
    return Bars(scale, scale.at(0.0), tuple((key, scale.at(v), text(v)) for key, v in value.items()))


def _curve(name: str, x_name: str, points: list[tuple[float, float]]) -> Fact:
    return Fact(name, "curve", curve=curves(name, x_name, name, [points]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text(value: Any) -> str:
    """As a cell: four digits of a number, whole thousands with commas, lists with commas."""
    if isinstance(value, float):
        return with_minus(f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}")
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {text(v)}" for key, v in value.items())
    return str(value)
