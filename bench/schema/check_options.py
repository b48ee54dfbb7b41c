"""What must fit between the options of built-in methods, their row, and the groups of the suite."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from bench.schema.base import Spec, parse
from bench.schema.categories import known_categories
from bench.schema.check_groups import misnamed
from bench.schema.faults import Fault, below, unknown
from bench.schema.methods import options_model
from bench.schema.options.fisher import BudgetOptions, CriticalOptions
from bench.schema.suite import MethodUse, Row, Suite


def option_faults(suite: Suite) -> Iterator[Fault]:
    """Faults of options that fit their models; the others are told elsewhere."""
    for i, row in enumerate(suite.rows):
        for k, use in enumerate(row.methods if row.reported_only is None else ()):
            yield from below(("rows", i, "methods", k, "options"), _faults(use, row, suite))


def _faults(use: MethodUse, row: Row, suite: Suite) -> Iterator[Fault]:
    options = _parsed(use)
    if isinstance(options, BudgetOptions) and (reason := options.misfit(row.bits)) is not None:
        yield Fault(("choices",), f"row {row.id!r}: {reason}")
    if isinstance(options, CriticalOptions):
        told: set[str] = set()
        for tier in suite.tiers:
            for fault in _critical(options, suite, tier):
                if fault.message not in told:
                    told.add(fault.message)
                    yield fault


def _critical(options: CriticalOptions, suite: Suite, tier: Any) -> Iterator[Fault]:
    groups = suite.groups_at(tier)
    if options.group is not None:
        if options.group not in groups:
            yield Fault(("group",), unknown("group", options.group, groups))
        elif groups[options.group].most_impacted is not None:
            text = f"group {options.group!r} is chosen from records, which a job cannot know; name its categories"
            yield Fault(("group",), text)
    for k, text in misnamed("categories", options.categories or (), known_categories(suite.tiers[tier].data)):
        yield Fault(("categories",) if k is None else ("categories", k), text)


def _parsed(use: MethodUse) -> Spec | None:
    model = options_model(use.name)
    try:
        return None if model is None else parse(model, use.options)
    except ValidationError:
        return None
