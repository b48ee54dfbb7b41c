"""`qdet-bench run`: run what is missing."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.common import add_suites, check_seeds, located
from bench.cli.extras import require
from bench.engine.order import LOGGERS
from bench.errors import BenchError, Exit, UsageError
from bench.processes import world

if TYPE_CHECKING:
    from bench.plan.jobs import Job
    from bench.records.store import Store
    from bench.run.scheduler import Outcome


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="run what is missing of suites",
        description="Run what is missing; what is done is not done again.",
    )
    add_suites(parser)
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="ROW", help="only these rows, and those they start from"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="repetitions of each row in place of the tier's")
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="train the models that rows start from, also where their checkpoint is committed",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs at once (default: one for each core; one on a GPU)")
    parser.add_argument("--dry-run", action="store_true", help="resolve everything, name what is absent, run nothing")
    parser.add_argument(
        "--allow-failures",
        action="store_true",
        help="exit 0 once each row has a record or a recorded failure",
    )
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="write the identity and state of each job as JSON"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="run what has a record too, its record is lost; with --rows only these rows",
    )
    parser.add_argument("--log", choices=LOGGERS, help="send the curves of each training there (default: nowhere)")
    parser.set_defaults(run=run, cut_short=Exit.INCOMPLETE)


def run(args: argparse.Namespace) -> int:
    """0 all done, 1 some failed, 3 some blocked by absent data."""
    from bench.cli.display import display
    from bench.cli.made import tell_made
    from bench.plan.jobs import plan
    from bench.records.environment import jobs_at_once
    from bench.records.store import LOCAL, Store
    from bench.run.scheduler import run_jobs, unique
    from bench.verdict.restore import restore_starts

    check_seeds(args.seeds)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: must be at least 1")
    if args.manifest is not None and args.dry_run:
        raise UsageError("--manifest and --dry-run: a dry run has no states to write; use `plan --json`")
    if args.manifest is not None and (args.manifest.is_dir() or not args.manifest.name):
        # Known before hours of training, not after.
        raise UsageError(f"--manifest {args.manifest}: is a folder; the name of a file is wanted")
    if args.again and args.dry_run:
        raise UsageError("--again and --dry-run: a dry run runs nothing")
    suites = located(args)
    planned = [plan(suite, args.tier, tuple(args.rows), args.seeds) for suite in suites]
    named = [job for of_suite in planned for job in of_suite]
    store = Store(args.root.resolve())
    if args.dry_run:
        return _dry_run(named, store)
    for module in ("torch", "mmdet", *([args.log] if args.log else [])):
        require(module)
    store.open()  # what bars the way to all jobs is said once, not for each of them
    jobs = unique(named)
    anew = {job.identity for job in jobs if _anew(job, args, store)}
    for identity in anew:
        store.folder(identity).forget()
    # Under torchrun all processes take the same jobs in the same order, and train each of them together.
    here = world()
    if here.leads and not args.from_scratch:
        for suite, of_suite in zip(suites, planned, strict=True):
            for job in restore_starts(suite, args.tier, [job for job in of_suite if job.identity not in anew]):
                print(f"{job.name}: its model is the committed checkpoint (--from-scratch trains it)")
    parallel = 1 if here.size > 1 else args.jobs or jobs_at_once()
    with display(jobs, parallel) as shown:
        outcomes = run_jobs(jobs, store, parallel, args.given, shown, args.log)
    if not here.leads:
        return Exit.OK
    states = {outcome.state for outcome in outcomes}
    counts = ", ".join(f"{sum(o.state == state for o in outcomes)} {state}" for state in sorted(states))
    print(f"{len(outcomes)} job{'' if len(outcomes) == 1 else 's'}: {counts}")
    _tell_shared(named, jobs)
    _tell_changed(outcomes, store)
    _tell_failed(outcomes, store)
    for line in tell_made(outcomes, store):
        print(line)
    if args.log is not None:
        if any(outcome.state == "executed" and outcome.job.row.recipe is not None for outcome in outcomes):
            print(f"curves: {args.root / LOCAL / 'logs' / args.log}")
        else:
            print(
                f"qdet-bench: warning: --log {args.log}: no job trained now, so there are no curves of it; "
                "--again trains anew what is done",
                file=sys.stderr,
            )
    if args.manifest is not None:
        _write_manifest(args.manifest, outcomes)
    if args.allow_failures:
        return Exit.OK
    return Exit.FAILED if "failed" in states else Exit.INCOMPLETE if "blocked" in states else Exit.OK


def _anew(job: "Job", args: argparse.Namespace, store: "Store") -> bool:
    """Whether the job runs although it has a record."""
    if job.blocked is not None:
        return False
    asked = args.again and (not args.rows or job.row.id in args.rows)
    return asked or (args.from_scratch and store.folder(job.identity).restored.exists())


def _tell_shared(named: "list[Job]", jobs: "list[Job]") -> None:
    """Rows that ask for the very same job: it ran once, for all of them."""
    ran = {job.identity: job for job in jobs}
    for job in named:
        if (other := ran[job.identity]) is not job:
            print(f"{job.name}: the same job as {other.name}")


def _tell_changed(outcomes: "list[Outcome]", store: "Store") -> None:
    """Records that stay as they are although the file of an own method or detector is another now."""
    from bench.plan.standing import changed_sources
    from bench.run.scheduler import record_of

    for job in (outcome.job for outcome in outcomes if outcome.state == "done"):
        record = record_of(job, store)
        for reason in changed_sources(job, record) if record else ():
            print(f"qdet-bench: warning: {job.name}: {reason}", file=sys.stderr)


def _tell_failed(outcomes: "list[Outcome]", store: "Store") -> None:
    """Where to look, and how to go on."""
    for job in (outcome.job for outcome in outcomes if outcome.state == "failed"):
        log = store.folder(job.identity).log
        where = f"its log is {log}" if os.path.lexists(log) else "it did not begin"
        command = f"qdet-bench run {job.suite} --tier {job.tier} --rows {job.row.id}"
        print(f"qdet-bench: {job.name} failed; {where}; once mended: `{command}`", file=sys.stderr)


def _dry_run(jobs: "list[Job]", store: "Store") -> int:
    from bench.run.scheduler import record_of

    for job in jobs:
        state = "blocked" if job.blocked else "done" if record_of(job, store) else "missing"
        print(f"{state:8} {job.identity[:12]} {job.name}")
    absent = dict.fromkeys(reason for job in jobs for reason in job.absent)
    if absent:
        print(f"absent, {len(absent)}:", *absent, sep="\n  ")
        for mend in dict.fromkeys(job.remedy for job in jobs if job.remedy):
            print(f"to mend: {mend}")
    return Exit.INCOMPLETE if any(job.blocked for job in jobs) else Exit.OK


def _write_manifest(path: Path, outcomes: "list[Outcome]") -> None:
    from bench.records.files import write_json
    from bench.schema.source import shown

    jobs = [
        {
            "job": o.job.name,
            "identity": o.job.identity,
            "state": "done" if o.state == "executed" else o.state,
            "reason": o.reason,
        }
        for o in outcomes
    ]
    try:
        write_json(path, {"jobs": jobs})
    except OSError as error:
        raise BenchError(f"{shown(path)}: cannot be written: {error.strerror}") from None
