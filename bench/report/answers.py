"""The overview of all suites, and for each paper the answer in three sentences. All is counted from the verdicts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.report.claim_words import DECIDED, WORDS
from bench.report.sections import Group, Section
from bench.verdict.claims import ClaimVerdict, Status


class Line(NamedTuple):
    """A suite in the overview."""

    section: Section
    counts: dict[Status, int]
    """By status: number of claims."""


def overview(sections: Sequence[Section]) -> list[Line]:
    """One line a section."""
    return [Line(section, dict(Counter(claim.status for claim in section.table.judged))) for section in sections]


def headlines(group: Group) -> list[tuple[Section, ClaimVerdict]]:
    """The claims of the first family of each suite, which is what its table is about, as far as they have run."""
    found = []
    for section in group.sections:
        families = [claim.family for claim in section.table.judged if claim.family is not None]
        main = [claim for claim in section.table.judged if families and claim.family == families[0]]
        found += [(section, claim) for claim in main if claim.status != "not run"]
    return found


def answer(group: Group) -> tuple[str, str, str]:
    """What was measured, what became of the claims, and what all that does not say."""
    return _measured(group), _judged(group), _scope(group)


def _measured(group: Group) -> str:
    done, planned, earlier = (sum(getattr(s, what) for s in group.sections) for what in ("done", "planned", "earlier"))
    tiers = listed(dict.fromkeys(section.tier for section in group.sections))
    data = listed(dict.fromkeys(section.table.data for section in group.sections))
    number = f"All {planned} planned runs are" if done == planned else f"{done} of {planned} planned runs are"
    old = f"; {earlier} more are of earlier settings, which no claim counts" if earlier else ""
    return f"{number} done, at tier {tiers} on {data}{old}."


def _judged(group: Group) -> str:
    counts = Counter(claim.status for section in group.sections for claim in section.table.judged)
    number = counts.total()
    if not number:
        return "These suites claim nothing: they show what was measured."
    parts = [f"{counts[status]} {word.many}" for status, word in WORDS.items() if counts[status]]
    of = "the only claim" if number == 1 else f"{number} claims"
    if number == 1:
        (status,) = counts
        return f"The only claim reads: {status}."
    if not any(counts[status] for status in DECIDED):
        return f"No claim is decided yet: of {of}, {listed(parts)}."
    return f"On these data, of {of}, {listed(parts)}."


def _scope(group: Group) -> str:
    paper = [section for section in group.sections if section.tier == "paper"]
    if not group.of_paper:
        return "They are no tables of a paper, so nothing here speaks of published numbers."
    if not paper:
        return (
            "Nothing has run at the paper's own scale (tier paper), so none of this confirms or refutes what it prints."
        )
    counts = Counter(
        verdict["status"]
        for section in paper
        for row in section.table.content["rows"]
        for verdict in row["verdicts"]
        if verdict["kind"] == "reference"
    )
    return f"At the paper's own scale, of its numbers {listed(f'{n} are {what}' for what, n in counts.items())}."


def listed(parts: Iterable[str]) -> str:
    """`a`; `a and b`; `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
