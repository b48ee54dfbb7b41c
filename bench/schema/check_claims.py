"""What must fit between claims, the limits of their regime, and rows."""

from collections.abc import Iterator

from bench.schema.faults import Fault, below, unknown
from bench.schema.metric_names import COCO, HARMONY, VOC, parts
from bench.schema.suite import Suite


def claim_faults(suite: Suite) -> Iterator[Fault]:
    """Faults of `claims` and `regime`."""
    rows = [row.id for row in suite.rows]
    tuned = {row.id for row in suite.rows if row.scored == "tune"}
    limits: list[str] = []
    for i, limit in enumerate(suite.regime):
        for field in ("row", "reference"):
            if getattr(limit, field) not in rows:
                yield Fault(("regime", i, field), unknown("row", getattr(limit, field), rows))
        if limit.row == limit.reference:
            yield Fault(("regime", i, "reference"), f"row {limit.row!r} is measured against itself")
        if limit.name in limits:
            text = f"row {limit.row!r} has two limits; give each an `id`"
            text = text if limit.id is None else f"limit id {limit.id!r} is used twice"
            yield Fault(("regime", i, "row" if limit.id is None else "id"), text)
        limits.append(limit.name)
        yield from below(("regime", i, "metric"), _metric(suite, limit.metric) if limit.metric else ())
    seen: set[str] = set()
    for i, claim in enumerate(suite.claims):
        if claim.id in seen:
            yield Fault(("claims", i, "id"), f"claim id {claim.id!r} is used twice")
        seen.add(claim.id)
        for k, row in enumerate(claim.rows):
            if row not in rows:
                yield Fault(("claims", i, "rows", k), unknown("row", row, rows))
            elif row in tuned:
                yield Fault(("claims", i, "rows", k), f"row {row!r} is scored on the tune split: no claim rests on it")
        for k, row in enumerate(claim.within):
            if row not in limits:
                yield Fault(("claims", i, "within", k), unknown("limit of `regime`", row, limits))
        pairs = list(zip(claim.rows[::2], claim.rows[1::2], strict=True))
        if any(better == worse for better, worse in pairs) or (len(pairs) > 1 and pairs[0] == pairs[1]):
            yield Fault(("claims", i, "rows"), f"claim {claim.id!r} compares rows with themselves")
        yield from below(("claims", i, "metric"), _metric(suite, claim.metric))


def _metric(suite: Suite, name: str) -> Iterator[Fault]:
    """A metric or a group that some tier lacks."""
    group, metric = parts(name)
    for tier, spec in suite.tiers.items():
        if metric not in HARMONY and metric not in (COCO if spec.metric.variant == "coco" else VOC):
            yield Fault((), f"tier {tier} is scored by {spec.metric.variant}, which has no {metric}")
        if group is not None and group not in (groups := suite.groups_at(tier)):
            yield Fault((), f"tier {tier}: {unknown('group', group, groups)}")
