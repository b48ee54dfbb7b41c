"""The claims of a suite, a table a family, below the rows that they are about."""

from collections.abc import Iterator, Sequence

from bench.plan.evidence import CONDITIONS, sentences
from bench.report.grid import Column, Grid, filled
from bench.report.wording import data_name
from bench.schema.suite import Suite, Tier
from bench.statistics.claims import common_level
from bench.statistics.regime import LEAST_AP, MOST_LEFT
from bench.verdict.claims import ClaimVerdict, Status

PAIRS = "pairs"
COLUMNS = (
    Column("claim"),
    Column("verdict"),
    Column("gain", numeric=True),
    Column("lower bound", numeric=True),
    Column("upper bound", numeric=True),
    Column(PAIRS, numeric=True),
    Column("sign test"),
    Column("collapsed", numeric=True),
    Column("detectable", numeric=True),
    Column("paper gain", numeric=True),
    Column("size"),
)


_NONE = "-"
OTHERWISE: dict[Status, str] = {"interim": "By the repetitions so far", "out of regime": "Within the regime"}
OVER_IMAGES = (
    "Claims over images: differences in points of the metric, with one-sided bounds by the percentile bootstrap over "
    "the test images, both rows on the same resampled images. They condition on one checkpoint and one calibration "
    "set, those of the first repetition, and say nothing of others; the regime is that of this one model. Detectable: "
    "the true gain that such a test finds with 80 % power, from the deviation over replicates."
)


def grids(claims: Sequence[ClaimVerdict], suite: Suite, tier: Tier) -> Iterator[Grid]:
    """The claims of each family; a verdict has tier and data set in its cell, since it is true of these alone."""
    where = f"{tier}, {data_name(suite.tiers[tier])}"
    for name in dict.fromkeys(found.family for found in claims):
        lines = tuple(_line(found, tier, where) for found in claims if found.family == name)
        images = any(found.over == "images" for found in claims if found.family == name)
        columns = [Column("images", numeric=True) if images and c.heading == PAIRS else c for c in COLUMNS]
        yield filled(Grid(tuple(columns), lines, _title(name, suite, tier)))


def notes(claims: Sequence[ClaimVerdict], suite: Suite, tier: Tier) -> Iterator[str]:
    """The plan of the evidence, how to read claims, then what is said of each."""
    if not claims:
        return
    yield from sentences(suite, tier)
    if any(found.over == "images" for found in claims):
        yield OVER_IMAGES
    if any(found.family and found.over == "repetitions" for found in claims):
        yield (
            "Claims: differences in points of the metric, paired by repetition within one environment, with one-sided "
            "bounds by Student's t. Sign test: how many pairs gain, and the exact p that as many do by chance; where "
            "it does not say the same at the same level, the verdict depends on near-symmetry. Collapsed: runs more "
            "than 5 robust deviations below the others of their row. Detectable: the true gain that such a test finds "
            "with 80 % power. Size: whether one further pair may give the paper's gain (95 %); at tier paper only. Out "
            "of regime also: full precision below "
            f"{LEAST_AP:g} AP, or beaten by its control by more than {MOST_LEFT:g}."
        )
    said: dict[str, list[str]] = {}
    for found in claims:
        text = f"({found.claim.metric}): {found.claim.source}. {' '.join(_said(found))}".rstrip()
        said.setdefault(text, []).append(found.claim.id)
    for text, names in said.items():
        yield f"Claim{'s' if len(names) > 1 else ''} {', '.join(names)} {text}"


def _title(family: str | None, suite: Suite, tier: Tier) -> str:
    spec = suite.tiers[tier]
    if family is None:
        return "Claims: a survey, none is tested"
    number = next(found[1] for claim in suite.claims if (found := suite.family(claim.id)) and found[0] == family)
    level = 100 * (1 - common_level(len(number.claims), number.level))
    many = "1 claim" if len(number.claims) == 1 else f"{len(number.claims)} claims"
    if number.over == "images":
        return f"Claims, family {family} ({many}) over images: each bound at {level:.4g} %, {CONDITIONS}"
    return f"Claims, family {family} ({many}): each bound at {level:.4g} %, checkpoints {spec.checkpoints}"


def _said(found: ClaimVerdict) -> Iterator[str]:
    if found.message:
        yield f"{found.message[0].upper()}{found.message[1:]}."
    if found.regime != "in" and found.repetitions:
        yield f"Regime {found.regime}: {found.regime_why}."
    if found.status in OTHERWISE and (found.answer.n > 1 or found.over == "images"):
        yield f"{OTHERWISE[found.status]} it would read: {found.answer.words}."
    if len(found.environments) > 1:
        each = "; ".join(
            f"{one.mean:+.2f} in {one.pairs} {'pairs' if one.pairs > 1 else 'pair'} of {one.key}"
            for one in found.environments
        )
        p = "too few to test" if found.environments_p is None else f"p of no difference {found.environments_p:.3f} (F)"
        yield f"By environment: {each}; {p}."


def _line(found: ClaimVerdict, tier: Tier, where: str) -> tuple[str, ...]:
    claim, answer = found.claim, found.answer
    tested, any_pair = found.family is not None, answer.n > 0
    taint = f", tainted: {found.taint}" if found.taint else ""
    verdict = found.words if found.status in ("no result", "survey") else f"{found.words}{taint} ({where})"
    published = claim.published is not None
    return (
        claim.text,
        verdict,
        _signed(answer.mean),
        _signed(answer.lower if tested else None),
        _signed(answer.upper if tested else None),
        str(answer.n) if any_pair else "",
        _signs(found) if tested and any_pair else "",
        _NONE if found.collapsed is None else str(found.collapsed) if any_pair else "",
        "" if answer.detectable is None or not tested else f"{answer.detectable:.2f}",
        f"+{claim.published:g}" if published else "",
        "" if not published or not any_pair else "other data" if tier != "paper" else answer.size or "",
    )


def _signs(found: ClaimVerdict) -> str:
    answer = found.answer
    return _NONE if answer.positive is None else f"{answer.positive} of {answer.n}, p {_p(answer.sign)}"


def _p(value: float | None) -> str:
    return "1" if value is None else f"{value:.2g}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}" if round(value, 2) else "0.00"
