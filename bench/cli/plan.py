"""`qdet-bench plan`: what is done, missing or stale, and the cost still to pay."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_json, add_suites, check_seeds, located, print_json

if TYPE_CHECKING:
    from bench.plan.standing import Standing

COMMITTED = "`run` takes the committed checkpoint; `run --from-scratch` trains it"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "plan",
        help="jobs done, missing, stale (and why), and the cost still to pay",
        description="Show where each job stands. `stale`: a record of the same suite, row, tier and seed is "
        "there, but of another protocol; the keys that differ are named. Runs nothing.",
    )
    add_suites(parser)
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="ROW", help="only these rows, and those they start from"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="repetitions of each row instead of the tier's")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan; 0, since nothing has failed by planning."""
    from bench.plan.evidence import as_json, sentences
    from bench.plan.jobs import plan
    from bench.plan.standing import Standing, standings
    from bench.records.store import Store
    from bench.report.layout import fold
    from bench.verdict.restore import committed_starts

    check_seeds(args.seeds)
    store, found = Store(args.root.resolve()), []
    suites = located(args)
    for suite in suites:
        jobs = plan(suite, args.tier, tuple(args.rows), args.seeds)
        committed = {job.identity for job in committed_starts(suite, args.tier, jobs)}
        for standing in standings(jobs, store):
            taken = standing.job.identity in committed
            found.append(Standing(standing.job, "done", (COMMITTED,)) if taken else standing)
    if args.json:
        evidence = {suite.name: as_json(suite.suite, args.tier) for suite in suites}
        print_json({**_facts(found, args.tier), "evidence": evidence})
    else:
        _print(found)
        for suite in suites:
            if suite.suite.claims:
                print(fold(f"{suite.name}: {' '.join(sentences(suite.suite, args.tier))}"))
    return 0


def _facts(found: "list[Standing]", tier: str) -> dict[str, Any]:
    from bench.plan.cost import to_pay

    jobs = [
        {
            "suite": job.suite,
            "row": job.row.id,
            "tier": job.tier,
            "seed": job.repetition,
            "identity": job.identity,
            "start": job.start.identity if job.start else None,
            "state": state,
            "reasons": list(reasons),
            "remedy": job.remedy,
            "cost_s": job.cost_s,
        }
        for job, state, reasons in found
    ]
    return {"tier": tier, "jobs": jobs, "counts": _counts(found), "cost": to_pay(found)._asdict()}


def _counts(found: "list[Standing]") -> dict[str, int]:
    """Jobs in each state; one that several suites share counts once."""
    from bench.plan.standing import STATES

    states = {standing.job.identity: standing.state for standing in found}
    return {state: sum(other == state for other in states.values()) for state in STATES}


def _print(found: "list[Standing]") -> None:
    from bench.cli.words import cost_words
    from bench.data.dataset import printable
    from bench.plan.cost import to_pay
    from bench.report.layout import collapse, fold, spans, table

    rows: dict[tuple[str, ...], list[int]] = {}
    blocked: dict[str, None] = {}
    for job, state, reasons in found:
        cost = "" if job.cost_s is None else f"{job.cost_s / 60:.1f}"
        if state == "blocked":
            # All jobs of a suite wait for the same data: said once, below.
            blocked |= dict.fromkeys((*job.absent, *([f"to mend: {job.remedy}"] if job.remedy else [])))
            reasons = ()
        rows.setdefault((job.suite, job.row.id, job.tier, state, cost, "; ".join(reasons)), []).append(job.repetition)
    whys, notes = collapse([why for *_, why in rows])
    cells = [
        [suite, row, tier, spans(seeds), state, cost, why]
        for ((suite, row, tier, state, cost, _), seeds), why in zip(rows.items(), whys, strict=True)
    ]
    print(table(["suite", "row", "tier", "seed", "state", "min", "why"], cells, numeric=(3, 5)))
    for note in notes:
        print(fold(note))
    if blocked:
        print(fold("\n".join(["\nblocked by:", *(f"  {printable(reason)}" for reason in blocked)])))
    counts = ", ".join(f"{count} {state}" for state, count in _counts(found).items() if count)
    print(fold(f"\n{counts or 'no jobs'}; time to run: {cost_words(to_pay(found)._asdict())}"))
