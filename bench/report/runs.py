"""Every run of a table on a line of its own, for CSV."""

from collections.abc import Iterator, Sequence

from bench.records.record import Record
from bench.report.wording import why_no_result
from bench.verdict.faults import undefined
from bench.verdict.gather import Results


def run_lines(results: Results, metrics: Sequence[str]) -> Iterator[dict[str, str]]:
    """The planned jobs of each row in order, with or without a result, then what was submitted to it.

    Metrics are in percent, to ten digits. A row that is reported only has a line without a repetition.
    """
    for row in results.rows:
        base = {
            "row": row.row.id,
            "method": row.row.label,
            "W/A": str(row.row.bits),
            "detector": row.row.detector,
        }
        if row.row.reported_only is not None:
            yield base | {"state": f"not run: {row.row.reported_only}"}
        for result in row.jobs:
            state = why_no_result(result) or "ok"
            yield base | {"repetition": str(result.job.repetition), "state": state, **_facts(result.record, metrics)}
        for external in row.external:
            why = f"{external.state}: {external.reason}" if external.record is None else undefined(external.record)
            state = f"external; {why}" if why else "external"
            yield base | {"repetition": str(external.repetition), "state": state, **_facts(external.record, metrics)}


def _facts(record: Record | None, metrics: Sequence[str]) -> dict[str, str]:
    if record is None:
        return {}
    values = {name: f"{100 * record.metrics[name]:.10g}" for name in metrics if record.metrics.get(name, -1) >= 0}
    origin = record.provenance
    return {
        **values,
        "identity": record.identity,
        "environment": record.environment_key,
        "commit": origin.commit or "",
        "dirty": {None: "", True: "yes", False: "no"}[origin.dirty],
    }
