"""What the verdicts on claims are called, in which order they stand, and which sign tells them without colour."""

from typing import NamedTuple

from bench.verdict.claims import Status


class Word(NamedTuple):
    """A verdict as a reader meets it."""

    sign: str
    many: str
    """As in `3 hold`."""
    meaning: str


WORDS: dict[Status, Word] = {
    "holds": Word("✓", "hold", "The gain is surely above 0 on these data."),
    "equivalent": Word("≈", "show no difference that matters", "The gain surely lies within the declared margin of 0."),
    "fails": Word("✗", "fail", "The gain is surely below what would count, on these data."),
    "inconclusive": Word("?", "are inconclusive", "The interval is too wide to say any of these."),
    "interim": Word("…", "are interim", "The planned repetitions are not complete, so nothing is decided yet."),
    "out of regime": Word(
        "∅", "are out of regime", "Quantization costs so much here that the claim would be about another situation."
    ),
    "survey": Word("○", "belong to a survey", "One repetition, shown for an overview; nothing is tested."),
    "not run": Word("-", "have not run", "A row of the claim has no result yet."),
}
"""By status; decided ones first."""
DECIDED: tuple[Status, ...] = ("holds", "equivalent", "fails")


def slug(status: str) -> str:
    """As a name of a CSS class."""
    return status.replace(" ", "-")
