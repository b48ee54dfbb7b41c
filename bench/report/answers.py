"""For each paper the answer in three sentences, and its first claims. All is counted from the verdicts."""

from collections import Counter

from bench.report.claim_words import WORDS
from bench.report.sections import Group, Section
from bench.report.standing import Standing, listed, together
from bench.verdict.claims import ClaimVerdict


def headlines(group: Group) -> list[tuple[Section, ClaimVerdict]]:
    """The claims of the first family of each suite, which is what its table is about, as far as they have run: what is
    decided stands first."""
    found = []
    for section in group.sections:
        families = [claim.family for claim in section.table.judged if claim.family is not None]
        main = [claim for claim in section.table.judged if families and claim.family == families[0]]
        found += [(section, claim) for claim in main if claim.status != "no result"]
    return sorted(found, key=lambda one: [*WORDS].index(one[1].status))


def examples(group: Group) -> list[tuple[Section, ClaimVerdict]]:
    """The first claim with each verdict, a headline where one has it, so that no verdict hides behind another."""
    every = [(section, claim) for section in group.sections for claim in section.table.judged]
    found: dict[str, tuple[Section, ClaimVerdict]] = {}
    for section, claim in [*headlines(group), *every]:
        if claim.status != "no result":
            found.setdefault(claim.status, (section, claim))
    return sorted(found.values(), key=lambda one: [*WORDS].index(one[1].status))


def further(group: Group) -> list[tuple[Section, ClaimVerdict]]:
    """The headlines that are no examples."""
    shown = [claim for _, claim in examples(group)]
    return [(section, claim) for section, claim in headlines(group) if not any(claim is one for one in shown)]


def subject(section: Section, found: ClaimVerdict) -> str:
    """What the numbers of a claim were measured on: detector, data set and tier."""
    detector = section.results.located.suite.row(found.claim.rows[0]).detector
    return f"{detector}, {section.table.data}, tier {section.tier}"


def standing(group: Group) -> Standing:
    """Of all its tables together."""
    return together(section.table.standing for section in group.sections)


def where(group: Group) -> str:
    """The data sets of its tables, and their tiers."""
    tiers: dict[str, dict[str, None]] = {}
    for section in group.sections:
        tiers.setdefault(section.tier, {})[section.table.data] = None
    return "; ".join(f"{listed(data)}, tier {tier}" for tier, data in tiers.items())


def answer(group: Group) -> tuple[str, str, str]:
    """What was measured, what became of the claims, and what all that does not say."""
    whole = standing(group)
    tiers = listed(dict.fromkeys(section.tier for section in group.sections))
    data = listed(dict.fromkeys(section.table.data for section in group.sections))
    return whole.of_runs(f", at tier {tiers} on {data}"), whole.of_claims(), _scope(group)


def _scope(group: Group) -> str:
    paper = [section for section in group.sections if section.tier == "paper"]
    if not group.of_paper:
        return "No published numbers stand beside them, so nothing here confirms or refutes a paper."
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
