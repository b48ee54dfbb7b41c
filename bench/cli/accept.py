"""`qdet-bench accept`: make what was measured here the baseline, and write its results table."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.common import add_tier, located
from bench.errors import UsageError
from bench.schema.faults import unknown

if TYPE_CHECKING:
    from bench.schema.load import Located
    from bench.verdict.gather import Results


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "accept",
        help="make the local results the baseline, or declare how far rows may move from it",
        description="Write baselines/SUITE.TIER.json from the local records of all rows, and "
        "results/SUITE.TIER.md. Tolerances stay, and so do records of other environments. Refused where a row has no "
        "sound record. With --tolerance no record is accepted: the baseline only gets the tolerances.",
    )
    parser.add_argument("suites", nargs=1, metavar="SUITE", help="name such as hqod/table1, a file, or `all`")
    add_tier(parser)
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="only these; the others stay as they are")
    parser.add_argument(
        "--checkpoints",
        action="store_true",
        help="keep the checkpoints that rows start from, in baselines/checkpoints/",
    )
    parser.add_argument(
        "--predictions",
        action="store_true",
        help="keep the predictions of one repetition of the rows of claims, in baselines/predictions/",
    )
    parser.add_argument(
        "--external",
        action="store_true",
        help="the predictions that were submitted, whose baseline is SUITE.TIER.external.json",
    )
    parser.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="ROW=TOLERANCE",
        help="exact, absolute:POINTS, ratio:PERCENT:ROW or statistical[:POINTS]; '*' for every row without one of its "
        "own; ROW:GROUP.METRIC for a group of categories, which else has its row's; several are allowed",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why rows may move; every tolerance but exact needs it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; BenchError where a row has no sound record."""
    if args.reason is not None and not args.tolerance:
        raise UsageError("--reason belongs to --tolerance")
    if args.tolerance and (args.rows or args.checkpoints or args.predictions):
        raise UsageError("--tolerance accepts no record: it goes without --rows, --checkpoints and --predictions")
    if args.external and args.checkpoints:
        raise UsageError("--checkpoints: submitted predictions have none")
    for suite in located(args):
        if args.tolerance:
            print(_declare(suite, args))
        elif args.external:
            _accept_external(suite, args)
        else:
            _accept(suite, args)
    return 0


def _accept(suite: "Located", args: argparse.Namespace) -> None:
    from bench.report.make import accept_results
    from bench.verdict.gather import gather
    from bench.verdict.kept import keep_predictions
    from bench.verdict.restore import keep_checkpoints

    results = gather(suite, args.tier)
    for path in accept_results(results, args.rows):
        print(path)
    for path in keep_checkpoints(results) if args.checkpoints else []:
        print(path)
    for path in keep_predictions(results) if args.predictions else []:
        print(path)
    _name_ignored(results)


def _accept_external(suite: "Located", args: argparse.Namespace) -> None:
    from bench.verdict.external import accept_external
    from bench.verdict.gather import gather

    print(accept_external(gather(suite, args.tier), args.rows))


def _declare(suite: "Located", args: argparse.Namespace) -> Path:
    from bench.evaluation.metric import metric_of
    from bench.verdict import baseline, external
    from bench.verdict.declare import declare, parse_tolerance

    metric = metric_of(suite.tier(args.tier).metric)
    known = [f"{group}.{name}" for group in suite.suite.groups_at(args.tier) for name in metric.by_category]
    declared = [parse_tolerance(text, metric.headline, args.reason) for text in args.tolerance]
    for row, tolerance in declared:
        named = row.partition(":")[2]
        if named and named not in known:
            raise UsageError(f"--tolerance {row}={tolerance.kind}: {unknown('metric of a group', named, known)}")
    file = external.external_file if args.external else baseline.baseline_file
    path = file(suite, args.tier)
    found = external.load_external(suite, args.tier) if args.external else baseline.load(suite, args.tier)
    if found is None:
        options = " --external" if args.external else ""
        raise UsageError(f"{path}: there is no baseline yet; `qdet-bench accept {suite.name}{options}` writes one")
    return baseline.write(path, declare(found, declared, path.name))


def _name_ignored(results: "Results") -> None:
    from bench.verdict.baseline import NO_EXTERNAL

    names = [f"{external.row} seed {external.repetition}" for row in results.rows for external in row.external]
    if names:
        print(f"qdet-bench: not accepted: external {', '.join(names)}: {NO_EXTERNAL}", file=sys.stderr)
