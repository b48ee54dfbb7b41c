"""The claims of a suite as a table of their own, below the rows that they are about."""

from collections.abc import Iterator, Sequence

from bench.report.wording import data_name
from bench.schema.suite import Tier, TierSpec
from bench.verdict.claims import ClaimVerdict

HEADINGS = ("claim", "verdict", "gain", "lower bound", "upper bound", "pairs", "detectable", "paper gain", "size")
NUMERIC = frozenset({"gain", "lower bound", "upper bound", "pairs", "detectable", "paper gain"})


def lines(claims: Sequence[ClaimVerdict], tier: Tier, spec: TierSpec) -> list[tuple[str, ...]]:
    """A line a claim; the verdict has tier and data set in its cell, since it is true of these alone."""
    where = f"{tier}, {data_name(spec.data)}"
    return [_line(found, tier, where) for found in claims]


def notes(claims: Sequence[ClaimVerdict]) -> Iterator[str]:
    """How to read them, then what is said of each."""
    tested = sum(found.answer.lower is not None and found.status != "out of regime" for found in claims)
    yield (
        "Claims: differences in points of the metric, paired by seed within one environment; one-sided 95 % bounds, "
        f"corrected by Holm over the {tested} claims that could be tested, each at the level in brackets. They "
        "condition on one FP checkpoint (or one an environment), this data set and this schedule. Detectable: the true "
        "gain that such a test finds with 80 % power. Size: whether one further pair may give the paper's gain (95 %); "
        "at tier paper only."
    )
    for found in claims:
        why = f" {found.status}: {found.message}." if found.message else ""
        yield f"Claim {found.claim.id}: {found.claim.source}, {found.claim.metric}.{why}"


def _line(found: ClaimVerdict, tier: Tier, where: str) -> tuple[str, ...]:
    claim, answer = found.claim, found.answer
    taint = f", tainted: {found.taint}" if found.taint else ""
    verdict = found.status if found.status == "not run" else f"{found.status}{taint} ({where})"
    return (
        claim.text,
        verdict,
        _signed(answer.mean),
        _bound(answer.lower, answer.lower_level),
        _bound(answer.upper, answer.upper_level),
        str(answer.n) if answer.n else "",
        "" if answer.detectable is None else f"{answer.detectable:.2f}",
        "" if claim.published is None else f"+{claim.published:g}",
        "" if claim.published is None or not answer.n else "other data" if tier != "paper" else answer.size or "",
    )


def _bound(value: float | None, level: float | None) -> str:
    return "" if value is None or level is None else f"{value:+.2f} ({100 * (1 - level):.3g} %)"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
