"""Accept what has moved, and say before what that is."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.report.make import accept_results
from bench.schema.load import load_suite
from bench.schema.suite import TIERS
from bench.verdict.baseline import load
from bench.verdict.faults import fault, headline
from bench.verdict.gather import Results, RowResult, gather


def update(root: Path, named: Iterable[str]) -> Iterator[str]:
    """Of rows, each `SUITE TIER ROW`, the differences, then the files that were written.

    Rows without sound records stay, and so do all that are not named.
    """
    tested: dict[tuple[str, str], set[str]] = {}
    for name in named:
        suite, tier_name, row_id = name.rsplit(" ", 2)
        tested.setdefault((suite, tier_name), set()).add(row_id)
    for (suite, wanted), ids in tested.items():
        located = load_suite(suite, root)
        tier = next(tier for tier in TIERS if tier == wanted)
        results = gather(located, tier)
        rows = [row for row in results.rows if row.row.id in ids and row.jobs and all(_is_sound(row))]
        lines = [line for row in rows for line in _differences(results, row)]
        if not lines:
            continue
        yield f"{suite}, tier {tier}"
        yield from lines
        for path in accept_results(results, [row.row.id for row in rows]):
            yield f"  wrote {path}"


def _is_sound(row: RowResult) -> Iterator[bool]:
    return (result.record is not None and fault(result) is None for result in row.jobs)


def _differences(results: Results, row: RowResult) -> Iterator[str]:
    baseline = load(results.located, results.tier)
    for result in row.jobs:
        record, name = result.record, f"  {row.row.id} seed {result.job.repetition}"
        if record is None:
            continue
        kept = [] if baseline is None else baseline.records(row.row.id, result.job.repetition)
        same = next((one for one in kept if one.environment_key == record.environment_key), None)
        metric = headline(record) or ""
        now = 100 * record.metrics[metric]
        if same is None:
            yield f"{name}: new, {metric} {now:.2f}{', in another environment' if kept else ''}"
        elif same.model_dump(exclude={"cost"}) != record.model_dump(exclude={"cost"}):
            before = 100 * same.metrics.get(metric, -0.01)
            yield f"{name}: {metric} {before:.2f} -> {now:.2f} ({now - before:+.2f})"
