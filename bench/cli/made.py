"""What a run made, as a table, and the commands that look at it."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from bench.cli.remaining import duration
from bench.records.record import Record
from bench.records.store import Store
from bench.run.scheduler import Outcome, record_of


def tell_made(outcomes: Sequence[Outcome], store: Store) -> Iterator[str]:
    """Lines: of each suite the rows that ran now, with the mean of their runs; nothing where none did."""
    from tabulate import tabulate

    from bench.evaluation.metric import METRICS

    made: dict[tuple[str, str], dict[str, list[tuple[Outcome, Record]]]] = {}
    for outcome in outcomes:
        if outcome.state == "executed" and (record := record_of(outcome.job, store)) is not None:
            job = outcome.job
            made.setdefault((job.suite, job.tier), {}).setdefault(job.row.id, []).append((outcome, record))
    for (suite, tier), rows in made.items():
        variant = next(iter(rows.values()))[0][1].variant or ""
        metric = METRICS[variant].headline
        lines = [
            [
                row,
                str(runs[0][0].job.row.bits),
                str(len(runs)),
                f"{100 * fmean(record.metrics[metric] for _, record in runs):.2f}",
                duration(sum(phase.wall_s for _, record in runs for phase in record.cost.phases.values())),
            ]
            for row, runs in rows.items()
        ]
        heads = ["row", "W/A", "runs made", metric, "time"]
        table = tabulate(
            lines, heads, tablefmt="simple", disable_numparse=True, colalign=["left", "left", *["right"] * 3]
        )
        yield f"\nmade of {suite}, tier {tier}:"
        yield table
    for suite, tier in made:
        yield f"next: `qdet-bench table {suite} --tier {tier}`, `qdet-bench report --suite {suite} --tier {tier}`"
