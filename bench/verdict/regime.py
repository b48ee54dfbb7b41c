"""Whether a table is in the situation that a claim speaks of: what rows lose, and what full precision can do."""

from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from bench.evaluation.metric import metric_of
from bench.schema.check_evidence import training
from bench.schema.claim import Claim, Limit
from bench.schema.group import NO_GROUPS, Groups
from bench.schema.suite import Row
from bench.statistics.regime import LEAST_AP, MOST_LEFT, Regime, regime, worst
from bench.verdict.gather import Results
from bench.verdict.pairs import Pairs, pair_up, runs_of


class RegimeVerdict(NamedTuple):
    """What is said of a claim's regime."""

    regime: Regime
    why: str
    """Of the first limit that is not surely kept; empty where all are."""


def judge_regime(results: Results, claim: Claim, groups: Groups = NO_GROUPS, *, one: bool = False) -> RegimeVerdict:
    """By the limits that the claim names, then by the full-precision models that its rows start from.

    `one`: the claim is about the first repetition's model alone, of which it is known what it scores.
    """
    found = [*_limits(results, claim, groups, one), *_full_precision(results, claim, one)]
    verdict = worst([one.regime for one in found])
    return RegimeVerdict(verdict, next((one.why for one in found if one.regime == verdict != "in"), ""))


def too_low(found: Pairs, claim: Claim, least: float | None) -> RegimeVerdict | None:
    """Out of regime where all rows of a claim lie below what its family asks for: there is nothing to rank."""
    if least is None or not found.pairs:
        return None
    means = [fmean(values) for values in zip(*(pair.points for pair in found.pairs), strict=True)]
    if max(means) >= least:
        return None
    listed = ", ".join(f"{row} has {mean:.2f}" for row, mean in zip(claim.rows, means, strict=True))
    return RegimeVerdict("out", f"{listed} {claim.metric}: none has {least:g}, the least that is ranked")


def _limits(results: Results, claim: Claim, groups: Groups, one: bool) -> Iterator[RegimeVerdict]:
    limits = {limit.name: limit for limit in results.located.suite.regime}
    for limit in (limits[name] for name in claim.within):
        yield _limit(results, limit, groups, one)


def _limit(results: Results, limit: Limit, groups: Groups, one: bool) -> RegimeVerdict:
    losses = _losses(results, limit.reference, limit.row, limit.metric, groups)[: 1 if one else None]
    if not losses:
        return RegimeVerdict("borderline", f"no pair of {limit.row} and {limit.reference} to tell the regime by")
    loss = f"{limit.row} loses {fmean(losses):.2f} {limit.metric or ''}".rstrip() + f" against {limit.reference}"
    if limit.loses_at_least is not None:
        found = _tell([-value for value in losses], -limit.loses_at_least, one)
        return RegimeVerdict(found, f"{loss}, the least is {limit.loses_at_least:g}{_doubt(found, losses)}")
    most = limit.loses_at_most or 0.0
    found = _tell(losses, most, one)
    return RegimeVerdict(found, f"{loss}, the limit is {most:g}{_doubt(found, losses)}")


def _tell(values: list[float], limit: float, known: bool) -> Regime:
    if known:
        return "in" if values[0] <= limit else "out"
    return regime(values, limit)


def _full_precision(results: Results, claim: Claim, one: bool) -> Iterator[RegimeVerdict]:
    suite, metric = results.located.suite, _headline(results)
    rows = [suite.row(row) for row in claim.rows]
    for model in dict.fromkeys(full_precision_row(results, row) for row in rows):
        if model is None:
            continue
        values = [run.points for run in runs_of(results, model, metric).values()][: 1 if one else None]
        if values:
            yield _learned(model, values, results, one)
        for control in _controls(results, model, rows):
            if gains := _left(results, control, model)[: 1 if one else None]:
                found = _tell(gains, MOST_LEFT, one)
                text = f"{model} was not trained to its end: {control} beats it by {fmean(gains):.2f}"
                yield RegimeVerdict(found, f"{text}, the limit is {MOST_LEFT:g}{_doubt(found, gains)}")


def _learned(model: str, values: list[float], results: Results, one: bool) -> RegimeVerdict:
    suite = results.located.suite
    # Where all rows start from this very model, what it scores is known.
    known = one or (len(values) < 2 and not suite.tiers[results.tier].is_repeated(suite.row(model)))
    found = _tell([-value for value in values], -LEAST_AP, known)
    text = f"full-precision row {model} has {fmean(values):.2f} {_headline(results)}, the least is {LEAST_AP:g}"
    return RegimeVerdict(found, f"{text}{_doubt(found, values)}")


def full_precision_row(results: Results, row: Row) -> str | None:
    """The full-precision row that a row comes from, whole; None where it comes from none.

    That row may itself have begun with a part of another model: a DETR with the backbone of another detector, say.
    """
    while row.start is not None and row.start_part is None:
        row = results.located.suite.row(row.start)
    return row.id if row.bits.is_fp else None


def _controls(results: Results, model: str, rows: list[Row]) -> list[str]:
    """The model trained on without quantizers and without further losses, on a schedule of one of the rows."""
    suite = results.located.suite
    spec, start = suite.tiers[results.tier], suite.row(model)
    schedules = {training(spec.recipe(row)) for row in rows if row.start == model}
    return [
        row.id
        for row in suite.rows
        if row.start == model
        and row.bits.is_fp
        and row.start_part is None
        and (row.detector, row.methods, row.scored) == (start.detector, start.methods, start.scored)
        and training(spec.recipe(row)) in schedules
    ]


def _losses(
    results: Results, reference: str, row: str, metric: str | None = None, groups: Groups = NO_GROUPS
) -> list[float]:
    """By repetition what a row loses, in points of the metric; without one of the headline metric."""
    pairs = pair_up(results, (reference, row), metric or _headline(results), groups).pairs
    return [pair.points[0] - pair.points[1] for pair in pairs]


def _left(results: Results, control: str, model: str) -> list[float]:
    """By repetition what training on adds to the very checkpoint that it starts from.

    Where that was trained does not matter: on another processor a checkpoint scores the same but for rounding.
    """
    found, trained = (runs_of(results, row, _headline(results)) for row in (control, model))
    if not results.located.suite.tiers[results.tier].is_repeated(results.located.suite.row(model)):
        trained = {n: trained[0] for n in found if 0 in trained}
    return [
        run.points - trained[n].points
        for n, run in found.items()
        if n in trained and run.record.start_sha256 in (None, trained[n].record.checkpoint_sha256)
    ]


def _headline(results: Results) -> str:
    return metric_of(results.located.suite.tiers[results.tier].metric).headline


def _doubt(found: Regime, values: list[float]) -> str:
    """Why it cannot be told on which side of the limit it lies."""
    if found != "borderline":
        return ""
    return ", from one run" if len(values) < 2 else f", inside the 95 % interval of {len(values)} repetitions"
