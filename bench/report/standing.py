"""How far tables are: their runs, and what became of their claims, as numbers and in a sentence each."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.report.claim_words import DECIDED, WORDS
from bench.report.notes import is_stale
from bench.verdict.claims import ClaimVerdict, Status
from bench.verdict.faults import fault
from bench.verdict.gather import Results


@dataclass(frozen=True)
class Standing:
    """Of one table, or of several together."""

    done: int
    """Runs that are results, of the protocol that the suite declares now."""
    planned: int
    """Runs that the suite asks for."""
    earlier: int
    """Runs of an earlier protocol, which no claim counts."""
    claims: Mapping[Status, int]
    """By verdict: number of claims, in the order of `WORDS`."""
    limited: int = 0
    """Claims whose verdict has a condition, such as `depends on near-symmetry`."""

    def of_runs(self, where: str = "") -> str:
        """A sentence; `where` is the tier and the data, if they are not told beside it."""
        many = f"All {self.planned}" if self.done == self.planned else f"{self.done} of {self.planned}"
        old = f"; {self.earlier} more are of earlier settings, which no claim counts" if self.earlier else ""
        return f"{many} planned runs are done{where}{old}."

    def of_claims(self) -> str:
        """A sentence."""
        number = sum(self.claims.values())
        if not number:
            return "Nothing is claimed here: this shows what was measured."
        if number == 1:
            (status,) = self.claims
            return f"The only claim reads: {status}{self.condition}."
        if len(self.claims) == 1:
            (status,) = self.claims
            many = "Both" if number == 2 else f"All {number}"
            return f"{many} claims {WORDS[status].many}{self.condition}."
        counts = listed(WORDS[status].of(count) for status, count in self.claims.items())
        if not any(status in DECIDED for status in self.claims):
            return f"No claim is decided: of {number} claims, {counts}."
        return f"On these data, of {number} claims, {counts}{self.condition}."

    @property
    def condition(self) -> str:
        """What to add where verdicts are not simply what they are called."""
        one = "1 verdict has a condition, named with it"
        many = f"{self.limited} verdicts have a condition, named with them"
        return f"; {one if self.limited == 1 else many}" if self.limited else ""


def standing(results: Results, claims: Sequence[ClaimVerdict]) -> Standing:
    """Of the table that these results and verdicts make."""
    jobs = results.jobs
    return Standing(
        sum(job.record is not None and fault(job) is None and not is_stale(job) for job in jobs),
        len(jobs),
        sum(map(is_stale, jobs)),
        _ordered(Counter(claim.status for claim in claims)),
        sum(claim.has_condition for claim in claims),
    )


def together(parts: Iterable[Standing]) -> Standing:
    """The sums."""
    done = planned = earlier = limited = 0
    claims: Counter[Status] = Counter()
    for part in parts:
        done, planned, earlier = done + part.done, planned + part.planned, earlier + part.earlier
        limited += part.limited
        claims.update(part.claims)
    return Standing(done, planned, earlier, _ordered(claims), limited)


def _ordered(counts: Mapping[Status, int]) -> dict[Status, int]:
    return {status: counts[status] for status in WORDS if counts.get(status)}


def listed(parts: Iterable[str]) -> str:
    """`a`; `a and b`; `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
