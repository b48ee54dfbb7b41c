"""What must fit in the author's form before it is written out: names of kinds, of method sets and of recipes."""

import difflib
from collections.abc import Iterator
from typing import Any

from bench.schema.author import by_tier
from bench.schema.faults import Fault, below, unknown
from bench.schema.methods import BUILTIN
from bench.schema.source import Loc

_OF_A_ROW = {
    "id": "each row has an `id` of its own",
    "label": "each row has a `label` of its own",
    "kind": "a kind cannot take over another kind",
}
"""Fields that no kind has, and why."""


def misplaced(data: dict[str, Any]) -> Iterator[Fault]:
    """What the models of the author's form would refuse with less helpful words; the data may have any form yet."""
    for place, fields in _shared(data):
        for key in _OF_A_ROW.keys() & fields.keys():
            yield Fault((*place, key), f"`{key}` cannot stand here: {_OF_A_ROW[key]}")
    for key, options in _mapping(data.get("methods")).items():
        if key not in BUILTIN and isinstance(options, dict) and "name" not in options:
            near = difflib.get_close_matches(key, BUILTIN, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            text = f"{key!r} is no built-in method, so `name` must say whose options these are{hint}"
            yield Fault(("methods", key), text)


def short_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a suite that fits the author's form."""
    kinds, rows = data.get("kinds", {}), data["rows"]
    for i, row in enumerate(rows):
        if (kind := row.get("kind")) is not None and kind not in kinds:
            yield Fault(("rows", i, "kind"), unknown("kind", kind, kinds))
        yield from below(("rows", i), _methods(row, data))
    for place, fields in _shared(data):
        yield from below(place, _methods(fields, data))
    if data.get("defaults", {}).get("claim") and not data.get("claims"):
        yield Fault(("defaults", "claim"), "the suite has no claims")
    ids = {row["id"] for row in rows}
    for name, tier in data["tiers"].items():
        yield from below(("tiers", name, "recipes"), _recipes(tier.get("recipes", {})))
        yield from below(("tiers", name, "observers"), _observers(tier.get("observers", {}), kinds, ids))
    for name, policy in data.get("policies", {}).items():
        pins = policy.get("pins") or {}
        for tier in pins if by_tier(pins) else ():
            if tier not in data["tiers"]:
                text = f"pins for tier {tier!r}, which the suite does not have"
                yield Fault(("policies", name, "pins", tier), text)


def short_unused(data: dict[str, Any]) -> Iterator[Fault]:
    """Kinds and method sets that no row uses."""
    for kind in data.get("kinds", {}).keys() - {row.get("kind") for row in data["rows"]}:
        yield Fault(("kinds", kind), f"no row uses kind {kind!r}")
    holders = [*data["rows"], *(fields for _, fields in _shared(data))]
    used = {use for holder in holders for use in holder.get("methods", []) if isinstance(use, str)}
    for name in data.get("methods", {}).keys() - used:
        yield Fault(("methods", name), f"no row uses the options {name!r}")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shared(data: dict[str, Any]) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The places of fields that rows share."""
    for name, fields in _mapping(data.get("kinds")).items():
        yield ("kinds", name), _mapping(fields)
    if "row" in (defaults := _mapping(data.get("defaults"))):
        yield ("defaults", "row"), _mapping(defaults["row"])


def _methods(fields: dict[str, Any], data: dict[str, Any]) -> Iterator[Fault]:
    sets = data.get("methods", {})
    for k, use in enumerate(fields.get("methods", [])):
        if isinstance(use, str) and use not in sets:
            hint = "" if sets else ", since the suite has no section `methods`"
            yield Fault(("methods", k), unknown("name of options", use, sets) + hint)


def _recipes(recipes: dict[str, Any]) -> Iterator[Fault]:
    for name, recipe in recipes.items():
        other = (recipe or {}).get("from")
        if other is None:
            continue
        at = (name, "from")
        if other == name:
            yield Fault(at, f"recipe {name!r} cannot take over itself")
        elif other not in recipes:
            yield Fault(at, unknown("recipe", other, recipes))
        elif recipes[other] is None:
            yield Fault(at, f"recipe {other!r} is null at this tier: there is nothing to take over")
        elif "from" in recipes[other]:
            text = f"recipe {other!r} takes over {recipes[other]['from']!r} itself; name that one, and what differs"
            yield Fault(at, text)


def _observers(observers: dict[str, Any], kinds: dict[str, Any], ids: set[str]) -> Iterator[Fault]:
    for name in observers:
        if name in kinds and name in ids:
            yield Fault((name,), f"{name!r} is a kind and a row; rename one of them")
        elif name not in kinds and name not in ids:
            yield Fault((name,), unknown("row or kind", name, ids | kinds.keys()))
