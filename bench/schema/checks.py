"""What only the whole suite can tell: names that must exist, fit, or be used. Every check is linear."""

from collections.abc import Collection, Iterator

from bench.errors import UsageError
from bench.schema.catalog import FAMILIES, detector_facts, is_detector
from bench.schema.check_tiers import tier_faults, unused_of_tier
from bench.schema.faults import Fault, below, unknown
from bench.schema.methods import facts
from bench.schema.suite import Row, Suite

MAX_CHAIN = 10
"""Rows that start from one another, one after the other."""


def faults(suite: Suite, published: Collection[str] | None) -> Iterator[Fault]:
    """All faults of a suite that fits the schema.

    `published` are the ids of the rows in its published table; None where they are not known.
    """
    names = _Names(suite, published)
    lines: dict[str, int] = {}
    for i, row in enumerate(suite.rows):
        if lines.setdefault(row.id, i) != i:
            yield Fault(("rows", i, "id"), f"row id {row.id!r} is used twice")
        yield from below(("rows", i), _row(row, names))
    yield from _chains(suite, names.rows)
    yield from _core(suite, names.rows)
    for name, tier in suite.tiers.items():
        yield from below(("tiers", name), tier_faults(tier, suite))


def unused(suite: Suite) -> Iterator[Fault]:
    """What is declared and used by no row; often the other end of a name that another fault is about."""
    for policy in suite.policies.keys() - {row.policy for row in suite.rows}:
        yield Fault(("policies", policy), f"no row uses policy {policy!r}")
    for name, tier in suite.tiers.items():
        yield from below(("tiers", name), unused_of_tier(tier, suite))


class _Names:
    """What rows may refer to."""

    def __init__(self, suite: Suite, published: Collection[str] | None) -> None:
        self.rows = {row.id: row for row in suite.rows}
        self.policies, self.tiers = suite.policies, suite.tiers
        self.has_table = suite.published is not None
        self.published = published


def _row(row: Row, names: _Names) -> Iterator[Fault]:
    if row.published is not None and not names.has_table:
        yield Fault(("published",), "the suite names no published table; add `published` at the top")
    elif row.published is not None and names.published is not None and row.published not in names.published:
        yield Fault(("published",), unknown("published row", row.published, names.published))
    if row.reported_only is not None:
        return
    try:
        detector_facts(row.detector)
    except UsageError as error:
        yield Fault(("detector",), str(error))
    if row.start is not None:
        yield from _start(row, names)
    elif row.start_part is not None:
        yield Fault(("start_part",), "`start_part` needs `start`")
    yield from _quantizers(row, names)
    for tier, pins in row.pins.items():
        if tier not in names.tiers:
            yield Fault(("pins", tier), f"pins for tier {tier!r}, which the suite does not have")
        for name, count in pins:
            if count < 0:
                yield Fault(("pins", tier, name), f"must be at least 0, found {count}")


def _start(row: Row, names: _Names) -> Iterator[Fault]:
    origin = names.rows.get(row.start or "")
    if origin is None:
        yield Fault(("start",), unknown("row", row.start or "", names.rows))
    elif origin.reported_only is not None:
        yield Fault(("start",), f"row {origin.id!r} is reported only: it has no checkpoint to start from")
    elif origin.detector != row.detector and row.start_part is None and is_detector(row.detector):
        yield Fault(("start",), f"row {origin.id!r} has another detector, {origin.detector!r}; see `start_part`")


def _quantizers(row: Row, names: _Names) -> Iterator[Fault]:
    makers: list[str] = []
    seen, readable = set(), True
    for k, use in enumerate(row.methods):
        if use.name in seen:
            yield Fault(("methods", k, "name"), f"method {use.name!r} stands twice in the row")
        seen.add(use.name)
        try:
            found = facts(use.name)
            if found.needs_quantizers and not makers:
                yield Fault(("methods", k, "name"), f"{use.name} must stand behind the method that makes quantizers")
            makers += [use.name] if found.makes_quantizers else []
            if found.reshapes_losses:
                yield from below(("methods", k, "name"), _reshaped(row, use.name))
        except UsageError as error:
            readable = False
            yield Fault(("methods", k, "name"), str(error))
    if len(makers) > 1:
        text = f"{' and '.join(makers)} both make quantizers; a row may have one such method"
        yield Fault(("methods",), text)
    if row.policy is not None and row.policy not in names.policies:
        yield Fault(("policy",), unknown("policy", row.policy, names.policies))
    if makers:
        yield from _quantized(row, makers[0])
    elif readable:
        # A method that could not be read may be the one that makes them.
        yield from _unquantized(row)


def _reshaped(row: Row, method: str) -> Iterator[Fault]:
    if row.recipe is None:
        yield Fault((), f"{method} changes training losses, but the row is not trained")
    if is_detector(row.detector) and detector_facts(row.detector).family.reshaped is False:
        known = ", ".join(sorted(name for name, family in FAMILIES.items() if family.reshaped))
        yield Fault((), f"{method} changes the losses of single samples, which only the families {known} have here")


def _quantized(row: Row, maker: str) -> Iterator[Fault]:
    if row.bits.is_fp:
        yield Fault(("bits",), f"{maker} makes quantizers, but bits are {row.bits}")
    elif not row.bits.are_integers:
        text = f"bits {row.bits}: {maker} needs an integer of 2 to 16 on each side, or 32 for a side without quantizers"
        yield Fault(("bits",), text)
    if row.policy is None:
        yield Fault((), f"row {row.id!r}: {maker} makes quantizers, so the row needs a `policy`")


def _unquantized(row: Row) -> Iterator[Fault]:
    if not row.bits.is_fp:
        yield Fault(("bits",), f"bits are {row.bits}, but no method of the row makes quantizers")
    if row.policy is not None:
        yield Fault(("policy",), "a policy without a method that makes quantizers")
    elif row.pins:
        yield Fault(("pins",), "pins of a row without quantizers")


def _core(suite: Suite, rows: dict[str, Row]) -> Iterator[Fault]:
    for i, row_id in enumerate(suite.core):
        row = rows.get(row_id)
        if row is None:
            yield Fault(("core", i), unknown("row", row_id, rows))
        elif row.start is not None and row.start not in suite.core:
            yield Fault(("core", i), f"row {row_id!r} starts from row {row.start!r}, which is not in `core`")
        if row_id in suite.core[:i]:
            yield Fault(("core", i), f"row {row_id!r} stands twice in `core`")


def _chains(suite: Suite, rows: dict[str, Row]) -> Iterator[Fault]:
    for i, row in enumerate(suite.rows):
        chain, at = [row.id], row.start
        while at in rows and at not in chain and len(chain) <= MAX_CHAIN:
            chain.append(at)
            at = rows[at].start
        if at == row.id:
            yield Fault(("rows", i, "start"), f"cyclic dependency: {' -> '.join([*chain, row.id])}")
            return
        if len(chain) > MAX_CHAIN:
            yield Fault(("rows", i, "start"), f"more than {MAX_CHAIN} rows start from one another")
            return
