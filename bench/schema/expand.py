"""Writes a suite out: from the author's form (`bench.schema.author`) to the whole form (`bench.schema.suite`).

It works on the plain values of the file, before the models of the whole form see them, and remembers where the author
wrote each value that it moves: errors name that line. Nothing is computed, and nothing is taken over twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from bench.errors import UsageError
from bench.schema.author import by_tier
from bench.schema.source import Loc, Source, shown, traced

MAX_NODES = 200_000
"""Values that a suite may have when it is written out."""
SHORT = ("methods", "kinds", "defaults")
"""Sections that the whole form does not have."""


def expand(source: Source) -> Source:
    """The suite in the whole form.

    `source` must fit the author's form and have no faults that `bench.schema.check_short` finds. UsageError where the
    whole form is too large.
    """
    return _Expansion(source).whole()


@dataclass
class _Expansion:
    source: Source
    origins: dict[Loc, Loc] = field(default_factory=dict)
    size: int = 0

    def whole(self) -> Source:
        data = self.source.data
        whole = {key: value for key, value in data.items() if key not in SHORT}
        if "policies" in data:
            whole["policies"] = {name: _without(policy, "pins") for name, policy in data["policies"].items()}
        whole["rows"] = [self._row(i, row) for i, row in enumerate(data["rows"])]
        if "claims" in data:
            shared = data.get("defaults", {}).get("claim", {})
            layers = [(("defaults", "claim"), shared)]
            whole["claims"] = [self._merged(("claims", i), claim, layers) for i, claim in enumerate(data["claims"])]
        whole["tiers"] = {name: self._tier(name, tier) for name, tier in data["tiers"].items()}
        return replace(self.source, data=whole, origins=self.origins)

    def _move(self, to: Loc, value: Any, origin: Loc) -> Any:
        """Note that the value at `to` was written at `origin`, or at the place that this one came from."""
        self.origins[to] = traced(origin, self.origins)
        self.size += _nodes(value)
        if self.size > MAX_NODES:
            where = f"{shown(self.source.path)}:{self.source.line(to)}"
            raise UsageError(f"{where}: written out, the suite has more than {MAX_NODES:,} values; too large")
        return value

    def _merged(self, at: Loc, own: dict[str, Any], layers: Iterable[tuple[Loc, dict[str, Any]]]) -> dict[str, Any]:
        """What stands at `at`, and what it takes over: of several layers the first that has a field."""
        whole = dict(own)
        for origin, fields in layers:
            for key, value in fields.items():
                if key not in whole:
                    whole[key] = self._move((*at, key), value, (*origin, key))
        return whole

    def _row(self, i: int, own: dict[str, Any]) -> dict[str, Any]:
        data, at = self.source.data, ("rows", i)
        kind = own.get("kind")
        layers: list[tuple[Loc, dict[str, Any]]] = [(("defaults", "row"), data.get("defaults", {}).get("row", {}))]
        if kind is not None:
            layers.insert(0, (("kinds", kind), data["kinds"][kind]))
        row = _without(self._merged(at, own, layers), "kind")
        if row.get("published") is True:
            row["published"] = row["id"]
        if "methods" in row:
            row["methods"] = [self._use((*at, "methods", k), use) for k, use in enumerate(row["methods"])]
        if pins := self._pins((*at, "pins"), row):
            row["pins"] = pins
        return row

    def _use(self, at: Loc, use: Any) -> Any:
        if not isinstance(use, str):
            return use
        options = self.source.data["methods"][use]
        named = "name" in options
        self._move((*at, "name"), use, ("methods", use, "name") if named else at)
        self._move((*at, "options"), options, ("methods", use))
        return {"name": options.get("name", use), "options": _without(options, "name")}

    def _pins(self, at: Loc, row: dict[str, Any]) -> dict[str, Any]:
        """Pins of the row by tier: its own, and for the other tiers those of its policy."""
        policy = row.get("policy")
        shared = self.source.data.get("policies", {}).get(policy, {}).get("pins") or {}
        pins: dict[str, Any] = {}
        for given, origin in ((row.get("pins", {}), at), (shared, ("policies", str(policy), "pins"))):
            for tier in given if by_tier(given) else self.source.data["tiers"]:
                if tier not in pins:
                    value, step = (given[tier], (tier,)) if by_tier(given) else (given, ())
                    pins[tier] = self._move((*at, tier), value, (*origin, *step))
        return pins

    def _tier(self, name: str, tier: dict[str, Any]) -> dict[str, Any]:
        whole = dict(tier)
        if "recipes" in tier:
            recipes, at = tier["recipes"], ("tiers", name, "recipes")
            whole["recipes"] = {key: self._recipe((*at, key), recipe, recipes) for key, recipe in recipes.items()}
        if "observers" in tier:
            whole["observers"] = self._observers(("tiers", name, "observers"), tier["observers"])
        return whole

    def _recipe(self, at: Loc, own: Any, recipes: dict[str, Any]) -> Any:
        if own is None or "from" not in own:
            return own
        other = own["from"]
        return self._merged(at, _without(own, "from"), [((*at[:-1], other), recipes[other])])

    def _observers(self, at: Loc, observers: dict[str, Any]) -> dict[str, Any]:
        kinds = self.source.data.get("kinds", {})
        whole = {name: value for name, value in observers.items() if name not in kinds}
        for row in self.source.data["rows"]:
            kind = row.get("kind")
            if kind in observers and row["id"] not in observers:
                whole[row["id"]] = self._move((*at, row["id"]), observers[kind], (*at, kind))
        return whole


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in mapping.items() if k != key}


def _nodes(value: Any) -> int:
    return 1 + sum(_nodes(entry) for entry in _entries(value))


def _entries(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
