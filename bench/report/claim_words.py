"""What the verdicts on claims are called, in which order they stand, and which sign tells them without colour."""

from typing import NamedTuple

from bench.report.html.axis import signed
from bench.statistics.claims import NEGLIGIBLE
from bench.verdict.claims import ClaimVerdict, Status


class Word(NamedTuple):
    """A verdict as a reader meets it."""

    sign: str
    many: str
    """As in `3 hold`."""
    meaning: str

    def of(self, count: int) -> str:
        """`1 holds`, `3 hold`."""
        verb, *rest = self.many.split(" ")
        one = {"are": "is", "have": "has"}.get(verb, f"{verb}s")
        return " ".join([str(count), one if count == 1 else verb, *rest])


WORDS: dict[Status, Word] = {
    "holds": Word("✓", "hold", "The gain is surely above 0 on these data."),
    "equivalent": Word(
        "≈",
        "show no difference that matters",
        "The gain is surely so close to 0 that it does not matter; the suite says how close.",
    ),
    "fails": Word(
        "✗",
        "fail",
        f"The gain is surely below what would count on these data: {NEGLIGIBLE:g} points, or half the published gain "
        "if that is less.",
    ),
    "inconclusive": Word(
        "?",
        "are inconclusive",
        "The interval is too wide to say any of these, or there is none; why stands beside it.",
    ),
    "interim": Word("…", "are interim", "The planned repetitions are not complete, so nothing is decided yet."),
    "out of regime": Word(
        "∅",
        "are out of regime",
        "The detector is so weak here, or loses so much by quantization, that the claim would be about something else; "
        "the notes on the claims say which.",
    ),
    "survey": Word("○", "belong to a survey", "One repetition, shown for an overview; nothing is tested."),
    "no result": Word("·", "are without a result", "A row of the claim has no result yet that counts."),
}
"""By status; decided ones first."""
DECIDED: tuple[Status, ...] = ("holds", "equivalent", "fails")


def gain(found: ClaimVerdict, unit: str = "") -> str:
    """The measured difference with its bounds, points; `unit` is written behind it, such as ` AP`."""
    answer = found.answer
    if answer.mean is None:
        return "no result"
    if answer.lower is None or answer.upper is None or not found.family:
        return f"{signed(answer.mean)}{unit}, no interval"
    over = f", over {answer.n} images" if found.over == "images" else ""
    return f"{signed(answer.mean)}{unit}, between {signed(answer.lower)} and {signed(answer.upper)}{over}"


def metric_words(metric: str) -> str:
    """`AP`; of a group of categories `AP, group first`."""
    group, _, name = metric.rpartition(".")
    return f"{name}, group {group}" if group else name


def slug(status: str) -> str:
    """As a name of a CSS class."""
    return status.replace(" ", "-")
