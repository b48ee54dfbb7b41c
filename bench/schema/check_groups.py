"""What must fit between groups of categories, the data of each tier, and the rows that choose categories."""

from collections.abc import Iterator

from bench.schema.categories import builtin_groups, known_categories
from bench.schema.data import DataSpec
from bench.schema.faults import Fault, below, unknown
from bench.schema.group import CategoryGroup, MostImpacted
from bench.schema.source import Loc
from bench.schema.suite import Suite, TierSpec


def group_faults(suite: Suite) -> Iterator[Fault]:
    """Faults of `groups`, of the suite and of its tiers. Categories that only the data tell are checked when read."""
    told: set[Loc] = set()
    for tier, spec in suite.tiers.items():
        for name, group in suite.groups_at(tier).items():
            at: Loc = ("tiers", tier, "groups", name) if name in spec.groups else ("groups", name)
            for fault in below(at, _group(name, group, spec, suite)):
                # A group of the suite is looked at once for each tier.
                if fault.loc not in told:
                    told.add(fault.loc)
                    yield fault


def _group(name: str, group: CategoryGroup, tier: TierSpec, suite: Suite) -> Iterator[Fault]:
    if group.most_impacted is not None:
        yield from below(("most_impacted",), _rule(group.most_impacted, tier.data, suite))
    elif group.builtin is not None:
        known = builtin_groups(tier.data.kind)
        if group.builtin not in known:
            yield Fault(("builtin",), f"data {tier.data.kind}: {unknown('group', group.builtin, known)}")
    for k, text in misnamed(name, group.categories or (), known_categories(tier.data)):
        yield Fault(("categories",) if k is None else ("categories", k), text)


def misnamed(name: str, categories: tuple[str, ...], known: tuple[str, ...] | None) -> Iterator[tuple[int | None, str]]:
    """What is wrong with the categories of a group, and the place of the one that it is about, None for all.

    `known` are those of the data; None where they are not known.
    """
    for k, category in enumerate(categories):
        if category in categories[:k]:
            yield k, f"category {category!r} stands twice in group {name!r}"
        elif known is not None and category not in known:
            yield k, unknown("category", category, known)
    if known is not None and set(categories) == set(known):
        yield None, f"group {name!r} holds all {len(known)} categories: its numbers are the overall ones"


def _rule(rule: MostImpacted, data: DataSpec, suite: Suite) -> Iterator[Fault]:
    rows = {row.id: row for row in suite.rows}
    for field in ("row", "reference"):
        row = rows.get(getattr(rule, field))
        if row is None:
            yield Fault((field,), unknown("row", getattr(rule, field), rows))
        elif row.scored != "tune":
            text = f"row {row.id!r} is scored on the test split; categories are chosen by rows with `scored: tune`"
            yield Fault((field,), text)
    if rule.row == rule.reference:
        yield Fault(("reference",), f"row {rule.row!r} is measured against itself")
    known = known_categories(data)
    if known is not None and rule.count >= len(known):
        yield Fault(("count",), f"{rule.count} of {len(known)} categories: the group would hold all")
