"""The data sets that suites name, each once, and whether they are there."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.load import kind_of, remedy_of
from bench.errors import UsageError
from bench.records.store import Store
from bench.schema.data import DataSpec
from bench.schema.load import Located, load_all, load_suite
from bench.schema.suite import Tier


@dataclass(frozen=True)
class DataSet:
    """One data set; the specification is that of its first user."""

    name: str
    """Shapes: the folder's name below `data/shapes`; else the path as the suite has it."""
    spec: DataSpec
    root: Path
    users: list[str] = field(default_factory=list)
    """`suite:tier`."""

    @property
    def cache(self) -> Path:
        """Where Shapes are written."""
        return Store(self.root.resolve()).data_cache

    @property
    def absent(self) -> str | None:
        """Why it or a part of it is not there, and the mend; None where all is."""
        kind = kind_of(self.spec, self.root)
        if missing := kind.missing(self.cache):
            return missing
        absent = kind.absent()
        mend = remedy_of(self.spec, self.root, absent)
        return "; ".join([absent[0], *([mend] if mend else [])]) if absent else None

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "kind": self.spec.kind, "absent": self.absent, "used_by": self.users}


def data_sets(suites: Iterable[Located], root: Path) -> list[DataSet]:
    """The data sets of all tiers of the suites, in order of name; equal names are one."""
    found: dict[str, DataSet] = {}
    for located in suites:
        for tier, spec in located.suite.tiers.items():
            name = kind_of(spec.data, root).name
            found.setdefault(name, DataSet(name, spec.data, root)).users.append(f"{located.name}:{tier}")
    return [found[name] for name in sorted(found)]


def choose(name: str, tier: Tier | None, root: Path) -> DataSet:
    """The data set of that name, else that of the suite of that name at the tier, or at its default one.

    Raises UsageError where there is neither.
    """
    suites, _ = load_all(root)
    by_name = {entry.name: entry for entry in data_sets(suites, root)}
    if name in by_name:
        return by_name[name]
    if name.startswith("shapes-"):
        raise UsageError(f"no suite names data {name!r}; they name {', '.join(by_name) or 'none'}")
    located = load_suite(name, root)
    tier = tier or located.default_tier
    spec = located.tier(tier).data
    return DataSet(kind_of(spec, root).name, spec, root, [f"{located.name}:{tier}"])
