"""`qdet-bench restore`: go on where committed results end."""

import argparse
import sys

from bench.cli.common import add_suites, located
from bench.errors import Exit

NAMED = 3
"""Jobs that a line names."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "restore",
        help="put committed records into the local store, so that `run` goes on where they end",
        description="Put the records of baselines/SUITE.TIER.json, of all repetitions, into the local store where it "
        "has none, with the committed checkpoints that rows start from. `run --seeds N` then runs only what is "
        "missing. Records keep their environment: runs of two environments are never one pair. What is of an earlier "
        "protocol, or lacks the checkpoint that other rows start from, is named and left out.",
    )
    add_suites(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 all restored, 3 some left out; BenchError without a baseline, or with a checkpoint that is not its record's."""
    from bench.verdict.restore import restore

    code = Exit.OK
    for suite in located(args):
        found = restore(suite, args.tier)
        print(f"{suite.name} {args.tier}: {len(found.restored)} restored, {len(found.there)} there already")
        reasons: dict[str, list[str]] = {}
        for name, why in found.left.items():
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            more = " …" if len(names) > NAMED else ""
            print(f"qdet-bench: not restored, {len(names)}: {', '.join(names[:NAMED])}{more}: {why}", file=sys.stderr)
            code = Exit.INCOMPLETE
    return code
