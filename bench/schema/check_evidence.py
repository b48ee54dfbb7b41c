"""What must fit between the plan of the evidence, claims, and the rows that these compare."""

from collections.abc import Iterable, Iterator

from bench.schema.claim import Claim
from bench.schema.faults import Fault, below, unknown
from bench.schema.metric_names import HARMONY
from bench.schema.recipe import Recipe
from bench.schema.suite import Row, Suite, Tier


def evidence_faults(suite: Suite) -> Iterator[Fault]:
    """Faults of `evidence`, of what interactions compare, and of the controls that `regime` names."""
    yield from _families(suite)
    rows = {row.id: row for row in suite.rows}
    for i, claim in enumerate(suite.claims):
        if claim.kind == "interaction" and all(row in rows for row in claim.rows):
            for text in _unlike(suite, [rows[row] for row in claim.rows]):
                yield Fault(("claims", i, "rows"), f"claim {claim.id!r}: the arms of an interaction have other {text}")
    for i, limit in enumerate(suite.regime):
        if limit.row in rows and limit.reference in rows and limit.row != limit.reference:
            # The very model that an untrained row starts from is the fairest control of it.
            if rows[limit.row].start == limit.reference and rows[limit.row].recipe is None:
                continue
            for text in _unlike(suite, [rows[limit.row], rows[limit.reference]]):
                where = f"row {limit.row!r} and its control {limit.reference!r} have other {text}"
                yield Fault(("regime", i, "reference"), where)


def _families(suite: Suite) -> Iterator[Fault]:
    if suite.evidence is None:
        return
    known = [claim.id for claim in suite.claims]
    families: dict[str, str] = {}
    for name, family in suite.evidence.families.items():
        for k, claim in enumerate(family.claims):
            at = ("evidence", "families", name, "claims", k)
            if claim not in known:
                yield Fault(at, unknown("claim", claim, known))
            elif claim in families:
                yield Fault(at, f"claim {claim!r} is in family {families[claim]!r} already")
            families.setdefault(claim, name)
        check = _over_images if family.over == "images" else _over_repetitions
        yield from below(("evidence", "families", name), check(suite, name))
    for i, claim_id in enumerate(known):
        if suite.evidence.families and claim_id not in families:
            yield Fault(("claims", i, "id"), f"claim {claim_id!r} is in no family of `evidence`")


def _over_repetitions(suite: Suite, name: str) -> Iterator[Fault]:
    """A row with fewer repetitions than the tier's could never give all pairs of the plan."""
    assert suite.evidence is not None
    claims, rows = {claim.id: claim for claim in suite.claims}, {row.id: row for row in suite.rows}
    for k, claim in enumerate(suite.evidence.families[name].claims):
        for row in (rows[row] for row in (claims[claim].rows if claim in claims else ()) if row in rows):
            for tier, spec in suite.tiers.items():
                if spec.is_repeated(row) and (own := spec.repetitions(row)) < spec.seeds:
                    text = f"claim {claim!r} is over {spec.seeds} repetitions at tier {tier}, but row {row.id!r}"
                    yield Fault(("claims", k), f"{text} has {own}")


def _over_images(suite: Suite, name: str) -> Iterator[Fault]:
    """Images say nothing of another training, so they judge only rows that have none, of one checkpoint."""
    assert suite.evidence is not None
    known, rows = {claim.id: claim for claim in suite.claims}, {row.id: row for row in suite.rows}
    asked = [known.get(claim) for claim in suite.evidence.families[name].claims]
    # What is not known is said elsewhere.
    claims = {k: claim for k, claim in enumerate(asked) if claim is not None and {*claim.rows} <= rows.keys()}
    named = dict.fromkeys(row for claim in claims.values() for row in claim.rows)
    if trained := [row for row in named if any(spec.recipe(rows[row]) for spec in suite.tiers.values())]:
        text = f"family {name!r} is over images, but has trained rows ({', '.join(trained)})"
        yield Fault(("over",), f"{text}: how training varies is seen over repetitions alone")
        return
    for k, claim in claims.items():
        own = [rows[row] for row in claim.rows]
        if claim.kind != "difference":
            yield Fault(("claims", k), f"claim {claim.id!r} is an interaction: over images only differences are judged")
        elif claim.metric in HARMONY:
            yield Fault(("claims", k), f"claim {claim.id!r}: {claim.metric} does not follow from predictions")
        elif tier := next((tier for tier in suite.tiers if len(_checkpoints(suite, tier, own)) > 1), None):
            yield Fault(("claims", k), f"claim {claim.id!r}: its rows have other checkpoints at tier {tier}")


def _checkpoints(suite: Suite, tier: Tier, rows: Iterable[Row]) -> set[str]:
    """The checkpoints that untrained rows are made of; of rows that others computed nothing is known."""
    spec, found = suite.tiers[tier], set()
    known = {row.id: row for row in suite.rows}
    for row in rows:
        origin, seen = row, {row.id}
        while origin.start in known and origin.start not in seen and spec.recipe(origin) is None:
            origin = known[origin.start]
            seen.add(origin.id)
        if row.reported_only is None and origin.detector in spec.detectors:
            trained = spec.recipe(origin) is not None
            found.add(f"row {origin.id}" if trained else spec.scale(origin).init.model_dump_json())
    return found


def _unlike(suite: Suite, rows: list[Row]) -> Iterator[str]:
    """In what rows differ that may differ in nothing but what is claimed."""
    if len({(row.start, row.start_part) for row in rows}) > 1:
        yield f"starts: {_listed(rows, [row.start or 'none' for row in rows])}"
    for tier, spec in suite.tiers.items():
        if len({training(spec.recipe(row)) for row in rows}) > 1:
            yield f"schedules at tier {tier}: {_listed(rows, [row.recipe or 'none' for row in rows])}"
            return


def training(recipe: Recipe | None) -> str:
    """All of a schedule that changes the training."""
    return recipe.model_dump_json(exclude={"evaluation", "snapshot_every", "cost_s"}) if recipe else ""


def _listed(rows: list[Row], what: list[str]) -> str:
    return ", ".join(f"{row.id} {one}" for row, one in zip(rows, what, strict=True))


def differing(suite: Suite, claim: Claim) -> str | None:
    """In what the rows of each difference differ beside what is claimed; None where in nothing."""
    rows = [suite.row(row) for row in claim.rows]
    pairs = zip(rows[::2], rows[1::2], strict=True)
    found = dict.fromkeys(text.split(":")[0].split(" at ")[0] for pair in pairs for text in _unlike(suite, list(pair)))
    return f"the rows have other {' and '.join(found)}" if found else None
