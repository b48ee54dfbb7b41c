"""The plan of the evidence in figures: at which level claims are tested, and which gain that can detect."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.schema.evidence import Family
from bench.schema.suite import Suite, Tier, TierSpec
from bench.statistics.claims import common_level
from bench.statistics.paired import Paired

CHECKPOINTS = {
    "own": "each the whole pipeline, its own full-precision training included",
    "shared": "all from one full-precision model, so nothing is said of another one",
}


CONDITIONS = "on one checkpoint and one calibration set"
"""What a claim over images conditions on."""


class PlannedFamily(NamedTuple):
    """A family of claims at a tier."""

    name: str
    claims: tuple[str, ...]
    level: float
    """Of each claim's one-sided bounds."""
    together: float
    """Of all of them."""
    spread: float | None
    detectable: float | None
    """The true gain, points, that the planned repetitions find in 80 % of cases; None without a spread, or for one."""
    over: str
    replicates: int | None
    """Of the bootstrap over images; None over repetitions, as `seed`."""
    seed: int | None
    least: float | None
    """Points: a claim whose rows all lie below it is out of regime."""


def planned(suite: Suite, tier: Tier) -> list[PlannedFamily]:
    """The families of a suite; none in a survey, or without claims."""
    spec = suite.tiers[tier]
    found = {item[0]: item[1] for claim in suite.claims if (item := suite.family(claim.id)) is not None}
    return [_planned(name, family, spec) for name, family in found.items()]


def _planned(name: str, family: Family, spec: TierSpec) -> PlannedFamily:
    level = common_level(len(family.claims), family.level)
    detectable = None
    if family.spread is not None and spec.seeds > 1:
        detectable = Paired(spec.seeds, 0.0, family.spread).detectable(level)
    drawn = family.over, family.replicates, family.seed
    return PlannedFamily(name, family.claims, level, family.level, family.spread, detectable, *drawn, family.least)


def as_json(suite: Suite, tier: Tier) -> dict[str, Any]:
    """For `--json` and `show`."""
    spec = suite.tiers[tier]
    return {
        "repetitions": spec.seeds,
        "checkpoints": spec.checkpoints,
        "declared": suite.evidence is not None,
        "survey": suite.evidence.survey if suite.evidence else None,
        "environments": suite.evidence.environments if suite.evidence else "several",
        "families": [family._asdict() for family in planned(suite, tier)],
    }


def sentences(suite: Suite, tier: Tier) -> Iterator[str]:
    """The same in words, one sentence or two a family."""
    spec = suite.tiers[tier]
    number = "1 repetition" if spec.seeds == 1 else f"{spec.seeds} repetitions"
    declared = "" if suite.evidence is not None else " No plan is declared, so however many there are count."
    yield f"Plan of the evidence: {number}, {CHECKPOINTS[spec.checkpoints]}.{declared}"
    if suite.evidence is not None and suite.evidence.survey is not None:
        yield f"A survey: no claim is tested. {suite.evidence.survey}"
    for family in planned(suite, tier):
        claims = "1 claim" if len(family.claims) == 1 else f"{len(family.claims)} claims"
        text = (
            f"Family {family.name}: {claims}, each bound at {100 * (1 - family.level):.4g} %, so that all lower bounds "
            f"hold jointly with {100 * (1 - family.together):g} %, and so do all upper ones."
        )
        if family.over == "images":
            text += (
                f" Bounds are over the test images, by {family.replicates:,} replicates of the paired bootstrap (seed "
                f"{family.seed}), {CONDITIONS}."
            )
        if family.least is not None:
            text += f" Rows that are all below {family.least:g} points are not ranked."
        if family.detectable is not None:
            text += (
                f" Detectable by the plan: a gain of {family.detectable:.2f} in 80 % of cases, if a pair's difference "
                f"spreads by {family.spread:g}."
            )
        yield text
