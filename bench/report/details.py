"""Everything that a table is made of, for its JSON format."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bench.external.gather import ExternalResult
from bench.plan.evidence import as_json as evidence
from bench.records.record import Record
from bench.report.notes import caution
from bench.report.wording import data_name, runs_state, why_no_result
from bench.schema.published import PublishedTable
from bench.verdict.claims import ClaimVerdict
from bench.verdict.faults import sound_external, sound_runs, taint, undefined
from bench.verdict.gather import JobResult, Results, RowResult
from bench.verdict.references import published_row
from bench.verdict.verdicts import Verdict


def as_json(
    results: Results,
    table: PublishedTable | None,
    verdicts: Sequence[Verdict],
    claims: Sequence[ClaimVerdict],
    committed: bool,
) -> dict[str, Any]:
    """The whole content; metrics are fractions at full precision, published numbers are in percent."""
    suite = results.located.suite
    spec = suite.tiers[results.tier]
    return {
        "suite": results.located.name,
        "title": suite.title,
        "tier": results.tier,
        "committed": committed,
        "data": {"name": data_name(spec), **spec.data.model_dump(mode="json")},
        "metric": spec.metric.model_dump(mode="json"),
        "caution": caution(results, table),
        "published": None if table is None else table.model_dump(mode="json", exclude={"rows"}),
        "rows": [_row(row, table, [v for v in verdicts if v.row == row.row.id]) for row in results.rows],
        "evidence": evidence(suite, results.tier),
        "claims": [found.as_json() for found in claims],
    }


def _row(row: RowResult, table: PublishedTable | None, verdicts: list[Verdict]) -> dict[str, Any]:
    published = published_row(row.row, table)
    sound = sound_runs(row)
    return {
        "id": row.row.id,
        "label": row.row.label,
        "detector": row.row.detector,
        "bits": str(row.row.bits),
        "methods": [use.name for use in row.row.methods],
        "note": row.row.note,
        "reconstruction": row.row.reconstruction,
        "state": runs_state(row),
        "n": len(sound),
        "mean": _means(sound),
        "runs": [_run(result) for result in row.jobs],
        "external": {
            "n": len(sound_external(row)),
            "mean": _means(sound_external(row)),
            "runs": [_external(result) for result in row.external],
        },
        "published": None if published is None else published.model_dump(mode="json"),
        "verdicts": [verdict.as_json() for verdict in verdicts],
    }


def _means(records: Sequence[Record]) -> dict[str, float]:
    """Metrics that are defined in every run."""
    names = [n for n in (records[0].metrics if records else ()) if all(r.metrics.get(n, -1) >= 0 for r in records)]
    return {name: fmean(record.metrics[name] for record in records) for name in names}


def _run(result: JobResult) -> dict[str, Any]:
    record = result.record
    found: dict[str, Any] = {
        "seed": result.job.repetition,
        "identity": result.job.identity,
        "state": "ok" if (why := why_no_result(result)) is None else why,
    }
    return found if record is None else found | _kept(record)


def _external(result: ExternalResult) -> dict[str, Any]:
    record = result.record
    if record is None:
        return {"seed": result.repetition, "state": f"{result.state}: {result.reason}"}
    why = undefined(record)
    return {"seed": result.repetition, "state": f"failed: {why}" if why else "ok"} | _kept(record)


def _kept(record: Record) -> dict[str, Any]:
    # The protocol and the categories stay in the record: it is found by its identity.
    kept = record.model_dump(
        mode="json", exclude={"protocol", "per_category", "category_images", "placement_sites", "identity"}
    )
    return {"record": kept, "record_identity": record.identity, "tainted": taint(record)}
