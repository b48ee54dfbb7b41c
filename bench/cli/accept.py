"""`qdet-bench accept`: make what was measured here the baseline, and write its results table."""

import argparse
import sys
from typing import TYPE_CHECKING

from bench.cli.common import add_tier, located

if TYPE_CHECKING:
    from bench.verdict.gather import Results


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "accept",
        help="make the local results the baseline",
        description="Write baselines/SUITE.TIER.json from the local records of all rows, and "
        "results/SUITE.TIER.md. Tolerances stay. Refused where a row has no sound record.",
    )
    parser.add_argument("suites", nargs=1, metavar="SUITE", help="name such as hqod/table1, a file, or `all`")
    add_tier(parser)
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="only these; the others stay as they are")
    parser.add_argument(
        "--checkpoints",
        action="store_true",
        help="keep the checkpoints that rows start from, in baselines/checkpoints/",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; BenchError where a row has no sound record."""
    from bench.report.make import command, make_table, save
    from bench.report.render import render
    from bench.verdict.baseline import accept
    from bench.verdict.gather import gather
    from bench.verdict.restore import keep_checkpoints

    for suite in located(args):
        results = gather(suite, args.tier)
        print(accept(results, args.rows))
        for path in keep_checkpoints(results) if args.checkpoints else []:
            print(path)
        _name_ignored(results)
        if args.tier == "smoke":
            continue  # a few steps on a few images: never shown as results
        path = suite.root / "results" / f"{suite.name}.{args.tier}.md"
        table = make_table(suite, args.tier, committed=True)
        save(path, render([table], "github", command([suite.name], args.tier, committed=True)))
        print(path)
    return 0


def _name_ignored(results: "Results") -> None:
    from bench.verdict.baseline import NO_EXTERNAL

    names = [f"{external.row} seed {external.repetition}" for row in results.rows for external in row.external]
    if names:
        print(f"qdet-bench: not accepted: external {', '.join(names)}: {NO_EXTERNAL}", file=sys.stderr)
