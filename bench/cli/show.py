"""`qdet-bench show`: a suite written out, its rows with everything resolved, and the placement of their quantizers."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_json, add_tier, print_json
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.plan.jobs import Job
    from bench.quantization.apply import Quantizers
    from bench.quantization.placement import Placement
    from bench.schema.load import Located
    from bench.schema.suite import Suite


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "show",
        help="the expanded specification, everything resolved; the placement of quantizers",
        description="Show what each row of a suite means at a tier: its protocol as its jobs have it, their "
        "identities and seeds, and the published numbers.",
    )
    parser.add_argument("suite", metavar="SUITE", help="name such as hqod/table1, or a file")
    add_tier(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--expanded",
        action="store_true",
        help="show the suite file written out: no kinds, defaults or names of options, all tiers",
    )
    what.add_argument(
        "--quantizers",
        action="store_true",
        help="show every quantizer, and what stays in FP (builds the detector)",
    )
    what.add_argument(
        "--cost",
        action="store_true",
        help="show parameters, bytes, MACs and BOPs of each row (builds the detector)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="with --cost: write it to results/SUITE.TIER.cost.json, for the report"
    )
    parser.add_argument(
        "--plots",
        metavar="FOLDER",
        type=Path,
        help="with --quantizers: draw there what methods allocated, one PNG for all rows of equal bits",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the specification, or what an option asks for instead; 0."""
    from bench.plan.jobs import plan
    from bench.schema.load import expanded, load_suite

    if args.keep and not args.cost:
        raise UsageError("--keep belongs to --cost")
    if args.plots is not None and not args.quantizers:
        raise UsageError("--plots needs --quantizers")
    located = load_suite(args.suite, args.root)
    if args.expanded:
        _print(expanded(located), args)
        return 0
    args.tier = args.tier or located.default_tier
    located.tier(args.tier)
    jobs = plan(located, args.tier)
    if args.cost:
        facts = _costs(jobs, args)
        if args.keep:
            from bench.report.make import cost_file, keep_json

            keep_json(cost_file(located, args.tier), {"suite": located.name, "tier": args.tier, **facts})
    else:
        facts = _placements(jobs, args) if args.quantizers else _specification(located, jobs)
    head = {"suite": located.name, "title": located.suite.title, "file": str(located.path), "tier": args.tier}
    _print({**head, **facts}, args)
    return 0


def _print(facts: dict[str, Any], args: argparse.Namespace) -> None:
    from bench.cli.words import yaml_lines

    if args.json:
        print_json(facts)
    else:
        print("\n".join(yaml_lines(facts)))


def _specification(located: "Located", jobs: "list[Job]") -> dict[str, Any]:
    from bench.plan.evidence import as_json as evidence

    blocked = {job.blocked for job in jobs} - {None}
    suite = located.suite
    plan = {"evidence": evidence(suite, jobs[0].tier)} if jobs and (suite.claims or suite.evidence) else {}
    return {
        "data": jobs[0].protocol.data.model_dump(mode="json") if jobs else None,
        "blocked": sorted(map(str, blocked)),
        "rows": _rows(located, jobs),
        **{
            name: [entry.model_dump(mode="json", exclude_none=True) for entry in declared]
            for name, declared in (("claims", located.suite.claims), ("regime", located.suite.regime))
            if declared
        },
        **_groups(suite, jobs),
        **plan,
    }


def _groups(suite: "Suite", jobs: "list[Job]") -> dict[str, Any]:
    """The groups of categories with the categories that are fixed; none where there are no groups."""
    found = {}
    for name, group in suite.groups_at(jobs[0].tier).items() if jobs else ():
        fixed = group.fixed(jobs[0].protocol.data)
        found[name] = group.model_dump(mode="json", exclude_none=True)
        if fixed is not None:
            found[name] |= {"categories": list(fixed.categories), "source": fixed.source}
    return {"groups": found} if found else {}


def _rows(located: "Located", jobs: "list[Job]") -> list[dict[str, Any]]:
    from bench.schema.protocol import dump

    published = _published(located)
    rows = []
    for row in located.suite.rows:
        own = [job for job in jobs if job.row.id == row.id]
        facts: dict[str, Any] = {
            "id": row.id,
            "label": row.label,
            "detector": row.detector,
            "bits": str(row.bits),
        }
        facts |= {key: value for key in ("note", "reconstruction", "reported_only") if (value := getattr(row, key))}
        if row.published is not None:
            facts["published"] = published.get(row.published, {"id": row.published})
        if own:
            # Of one row's jobs only the seeds differ, and the models that they start from.
            facts["start"] = own[0].start.name if own[0].start else None
            facts["protocol"] = {key: value for key, value in own[0].raw.items() if key != "seeds"}
            several = len({job.protocol.start for job in own}) > 1
            facts["jobs"] = [
                {
                    "identity": job.identity,
                    **({"start": job.start.identity} if several and job.start else {}),
                    "seeds": dump(job.protocol.seeds),
                }
                for job in own
            ]
        rows.append(facts)
    return rows


def _published(located: "Located") -> dict[str, dict[str, Any]]:
    """By their id the published rows that the suite may refer to."""
    from bench.schema.publications import load_published

    use = located.suite.published
    file = load_published(use.file, located.root) if use else None
    if use is None or file is None:
        return {}
    table = file.table(use.table)
    source = {"table": table.id, "metric": table.metric, "trust": table.trust}
    return {row.id: {**source, **row.model_dump(mode="json", exclude_defaults=True)} for row in table.rows}


def _placements(jobs: "list[Job]", args: argparse.Namespace) -> dict[str, Any]:
    made: dict[str, Any] = {}
    rows = []
    for job in jobs:
        if job.repetition or job.protocol.policy is None:
            continue
        # Rows that differ in their methods' options only have one placement.
        key = job.protocol.model_dump_json(include={"detector", "policy", "bits", "methods"})
        if key not in made:
            made[key] = _placement(job, args)
        rows.append({"id": job.row.id, "bits": str(job.row.bits), **made[key], **_allocated(job, args)})
    if not rows:
        raise BenchError(f"{args.suite}: no row that runs at tier {args.tier} has quantizers")
    if args.plots is not None:
        _draw([row for row in rows if isinstance(row.get("allocated"), dict)], args)
    return {"rows": rows}


def _draw(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    if not rows:
        raise BenchError(f"{args.suite}: no row has run whose method allocates bits, so there is nothing to draw")
    from bench.report.bits_plot import draw_bits

    for bits in dict.fromkeys(row["bits"] for row in rows):
        allocated = {row["id"]: row["allocated"] for row in rows if row["bits"] == bits}
        draw_bits(args.plots / f"bits-{bits.replace('/', '-')}.png", allocated)


def _placement(job: "Job", args: argparse.Namespace) -> dict[str, Any]:
    from bench.run.inspect import placement_of, quantizers_of

    placement = placement_of(job, args.root.resolve())
    assert job.protocol.policy is not None
    pins = placement.pins(job.protocol.policy.edge_bits)
    declared = job.row.pins.get(job.tier)
    if placement.doubt:
        print(f"qdet-bench: warning: row {job.row.id}: {placement.doubt}", file=sys.stderr)
    return {
        "pins": pins.model_dump(),
        "pinned": declared.model_dump() if declared else None,
        **_sites(placement, quantizers_of(job, placement)),
        "full_precision": list(placement.fp),
    }


def _allocated(job: "Job", args: argparse.Namespace) -> dict[str, Any]:
    """What a method of the row gave its weights in place of the row's bits, as its record has it."""
    from bench.records.store import Store
    from bench.schema.options.fisher import BudgetOptions

    names = [use.name for use in job.protocol.methods if isinstance(use.parsed, BudgetOptions)]
    if not names:
        return {}
    record = Store(args.root.resolve()).folder(job.identity).record()
    return {"allocated": "when the row runs" if record is None else record.facts[names[0]]}


def _costs(jobs: "list[Job]", args: argparse.Namespace) -> dict[str, Any]:
    from bench.run.inspect import footprint_of

    root = args.root.resolve()
    own = [job for job in jobs if job.repetition == 0]
    return {"rows": [{"id": j.row.id, "bits": str(j.row.bits), **footprint_of(j, root)._asdict()} for j in own]}


def _sites(placement: "Placement", quantizers: "Quantizers") -> dict[str, Any]:
    def grid(site: Any) -> dict[str, Any]:
        quantizer = quantizers[site.name]
        return {
            "bits": quantizer.bits,
            "signed": quantizer.signed,
            "scheme": quantizer.scheme,
            "granularity": quantizer.granularity,
        }

    weights = [{"site": site.name, "module": site.module, **grid(site)} for site in placement.weights]
    activations = [
        {
            "site": site.name,
            **grid(site),
            "tensor": site.tensor,
            "producer": site.producer,
            "quantized": f"behind {site.tap}" if site.tap is not None else "by its readers",
            "readers": [{"module": module, "call": call} for module, call in site.readers],
            "operations": [str(operand) for operand in site.operands],
        }
        for site in placement.activations
    ]
    return {"weights": weights, "activations": activations}
