"""The groups of categories of a suite: which categories they have, chosen from records where a rule says so."""

from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

from bench.errors import UsageError
from bench.evaluation.metric import metric_of
from bench.records.record import Record
from bench.schema.categories import known_categories
from bench.schema.check_groups import misnamed
from bench.schema.faults import Fault
from bench.schema.group import CategoryGroup, Groups, MostImpacted
from bench.schema.source import load_mapping, shown
from bench.verdict.gather import Results
from bench.verdict.pairs import pair_up


class Resolved(NamedTuple):
    """A group at a tier."""

    categories: tuple[str, ...]
    """Empty where they are not known yet."""
    source: str
    """Whose choice, or by which rule."""
    lacking: str = ""
    """Why the categories are not known, and what to do."""


class Change(NamedTuple):
    """What a category loses or gains: the mean over repetitions, points of AP."""

    mean: float
    images: int | None
    """With an object of it; None where old records do not tell."""


def resolve(results: Results) -> dict[str, Resolved]:
    """The groups of the tier, by name. UsageError with file and line for a category that the data lack."""
    tier, suite = results.located.suite.tiers[results.tier], results.located.suite
    found = {}
    for name, group in suite.groups_at(results.tier).items():
        fixed = group.fixed(tier.data)
        if fixed is not None:
            if known_categories(tier.data) is None:
                _refuse_misnamed(results, name, fixed.categories)
            found[name] = Resolved(*fixed)
        else:
            found[name] = _chosen(results, group)
    return found


def known(groups: Mapping[str, Resolved]) -> Groups:
    """Those whose categories are known."""
    return {name: group.categories for name, group in groups.items() if group.categories}


def lacking(groups: Mapping[str, Resolved]) -> dict[str, str]:
    """Of the others why not."""
    return {name: group.lacking for name, group in groups.items() if not group.categories}


def changes(results: Results, reference: str, row: str) -> dict[str, Change]:
    """By category what `row` has more than `reference`, over the pairs that count; empty where there are none."""
    headline = metric_of(results.located.suite.tiers[results.tier].metric).headline
    pairs = [(pair.runs[0].record, pair.runs[1].record) for pair in pair_up(results, (reference, row), headline).pairs]
    found = {}
    for category in pairs[0][0].per_category if pairs else ():
        ends = [(_ap(one, category), _ap(two, category)) for one, two in pairs]
        moved = [100 * (two - one) for one, two in ends if one is not None and two is not None]
        if moved:
            found[category] = Change(fmean(moved), (pairs[0][0].category_images or {}).get(category))
    return found


def _ap(record: Record, category: str) -> float | None:
    value = record.per_category.get(category, {}).get("AP", -1.0)
    return value if value >= 0 else None


def _chosen(results: Results, group: CategoryGroup) -> Resolved:
    rule = group.most_impacted
    if rule is None:  # a built-in group that these data lack: the suite was refused
        return Resolved((), "", "the data have no such group")
    source = (
        f"the {rule.count} that {rule.row} hurts most against {rule.reference}, chosen on the tune split"
        f"{f'; {group.source}' if group.source else ''}"
    )
    return Resolved(*_worst(results, rule, source))


def _worst(results: Results, rule: MostImpacted, source: str) -> tuple[tuple[str, ...], str, str]:
    if absent := {rule.reference, rule.row} - {row.id for row in results.located.suite.rows}:
        return (), source, f"its categories are chosen by {', '.join(sorted(absent))}: leave out --core"
    found = changes(results, rule.reference, rule.row)
    if not found:
        why = pair_up(results, (rule.reference, rule.row), _headline(results)).lacking
        again = f"qdet-bench run {results.located.name} --tier {results.tier} --rows {rule.reference} {rule.row}"
        return (), source, f"its categories are not chosen yet: {why}; `{again}`"
    if any(change.images is None for change in found.values()):
        why = f"records of {rule.reference} do not say on how many images a category is: run it again with --again"
        return (), source, f"its categories are not chosen yet: {why}"
    enough = [name for name, change in found.items() if (change.images or 0) >= rule.min_images]
    if len(enough) < rule.count:
        why = f"{len(enough)} categories have objects on {rule.min_images} images of the tune split"
        return (), source, f"its categories cannot be chosen: {why}, {rule.count} are wanted"
    return tuple(sorted(enough, key=lambda name: found[name].mean)[: rule.count]), source, ""


def _headline(results: Results) -> str:
    return metric_of(results.located.suite.tiers[results.tier].metric).headline


def _refuse_misnamed(results: Results, group: str, categories: tuple[str, ...]) -> None:
    """UsageError for a category that the data lack, as far as records tell which they have."""
    names = next((tuple(r.record.per_category) for r in results.jobs if r.record is not None), None)
    for k, text in misnamed(group, categories, names) if names else ():
        source = load_mapping(results.located.path)
        own = group in results.located.suite.tiers[results.tier].groups
        at = ("tiers", results.tier, "groups", group) if own else ("groups", group)
        loc = at if k is None else (*at, "categories", k)
        if results.located.suite.groups_at(results.tier)[group].builtin is not None:
            loc = (*at, "builtin")
        raise UsageError(f"{shown(source.path)}:{Fault(loc, text).line(source)}: {text}")
