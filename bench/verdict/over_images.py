"""Claims over images: of rows without a training of their own, by the paired bootstrap. docs/statistics.md says how.

The first repetition decides: one checkpoint, one calibration set. What the others give stands beside it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import versions
from bench.errors import BenchError
from bench.schema.claim import Claim
from bench.schema.evidence import Family
from bench.schema.group import FEW, Groups
from bench.schema.metric_names import parts
from bench.statistics.claims import OverImages
from bench.verdict import kept_differences
from bench.verdict.external import accepted
from bench.verdict.faults import undefined
from bench.verdict.gather import Results
from bench.verdict.numbers import numbers
from bench.verdict.pairs import Pair, Pairs, Run, pair_up, run_of, runs_of

FIRST = 0
"""The repetition that decides."""


class Measured(NamedTuple):
    """A claim's difference over images."""

    found: OverImages
    lacking: str
    """Why it has no interval; empty where it has one."""


def pairs_over_images(results: Results, claim: Claim, groups: Groups) -> Pairs:
    """The repetitions at which both rows have a result, the first of them the one that decides; none without that.

    A row that is only reported has the predictions that were submitted to it, or the accepted ones.
    """
    suite = results.located.suite
    if any(suite.row(row).reported_only is not None for row in claim.rows):
        found = _with_external(results, claim, groups)
    else:
        found = pair_up(results, claim.rows, claim.metric, groups)
    if found.pairs and found.pairs[0].repetition != FIRST:
        return Pairs((), f"the first repetition, which decides, has no pair; {found.lacking}")
    if found.pairs and len({run.record.start_sha256 for run in found.pairs[0].runs if run.record.start_sha256}) > 1:
        return Pairs((), "its rows started from different checkpoints")
    return found


def _with_external(results: Results, claim: Claim, groups: Groups) -> Pairs:
    suite = results.located.suite
    runs = [
        runs_of(results, row, claim.metric, groups)
        if suite.row(row).reported_only is None
        else dict(_external_runs(results, row, claim.metric, groups))
        for row in claim.rows
    ]
    if empty := [row for row, found in zip(claim.rows, runs, strict=True) if not found]:
        return Pairs((), f"no result of {', '.join(empty)}")
    shared = sorted(runs[0].keys() & runs[1].keys())
    # Where the submitted predictions were computed is not known: the environment is that of our own row.
    own = next((i for i, row in enumerate(claim.rows) if suite.row(row).reported_only is None), 0)
    return Pairs(tuple(Pair(n, runs[own][n].key, tuple(side[n] for side in runs)) for n in shared), "")


def _external_runs(results: Results, row: str, metric: str, groups: Groups) -> Iterator[tuple[int, Run]]:
    here = next(found for found in results.rows if found.row.id == row)
    for found in here.external or accepted(results.located, results.tier).get(row, ()):
        if found.record is None or undefined(found.record) is not None:
            continue
        value = numbers(found.record, groups).get(metric, -1.0)
        if value >= 0:
            yield found.repetition, run_of(found.record, value)


def range_beside(differences: list[float]) -> str:
    """What the repetitions give that do not decide."""
    if len(differences) < 2:
        return ""
    low, high = min(differences[1:]), max(differences[1:])
    what = "another repetition gives" if len(differences) == 2 else f"{len(differences) - 1} other repetitions give"
    return f"{what} {low:+.2f}" + (f" to {high:+.2f}" if high > low else "") + ", which is no part of the interval"


class Bootstrap:
    """The paired bootstrap of a suite's claims, computed only where a difference is not kept."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def measure(self, claim: Claim, family: Family, level: float, pair: Pair, groups: Groups) -> Measured:
        """The difference in points, with one-sided bounds at `level` where they can be told."""
        of = self.facts(claim, family, level, pair, groups)
        root = self.results.located.root
        try:
            kept = kept_differences.read(root, of)
            if kept is None:
                # Late: numba and the data take seconds to load.
                from bench.verdict.bootstrapped import bootstrapped

                kept = bootstrapped(self.results, claim.metric, of, pair, groups)
                kept_differences.write(root, kept)
        except (BenchError, OSError) as error:
            gain = pair.points[0] - pair.points[1]
            return Measured(OverImages(gain, None, None, 0), f"no interval over images: {error}")
        bounds = None if kept.lower is None or kept.upper is None else (100 * kept.lower, 100 * kept.upper)
        error_of = None if kept.error is None else 100 * kept.error
        lacking = "" if bounds else f"only {kept.bearing} images have an object of its group; {FEW} are needed"
        if bounds and not kept.error:
            lacking = "no image tells its rows apart"
        return Measured(OverImages(100 * kept.difference, bounds, error_of, kept.images), lacking)

    def commit(self, claim: Claim, family: Family, level: float, pair: Pair, groups: Groups) -> Path:
        """Keep what `measure` said where it is committed; the file, which is absent where there was no interval."""
        return kept_differences.commit(self.results.located.root, self.facts(claim, family, level, pair, groups))

    def facts(self, claim: Claim, family: Family, level: float, pair: Pair, groups: Groups) -> dict[str, Any]:
        """All that the difference follows from."""
        one, two = (run.record for run in pair.runs)
        group, metric = parts(claim.metric)
        return {
            "predictions": [one.predictions.digest, two.predictions.digest],
            "pin": [one.data.pin, two.data.pin],
            "scored": one.part("metric"),
            "metric": metric,
            "categories": None if group is None else sorted(groups[group]),
            "replicates": family.replicates,
            "seed": family.seed,
            "level": level,
            "few": FEW,
            "version": versions.EVALUATION,
        }
