"""`qdet-bench table`: what was measured, beside what the paper printed."""

import argparse
import sys
from pathlib import Path
from typing import Literal

from bench.cli.common import add_json, add_suites, located
from bench.errors import UsageError

Format = Literal["github", "text", "latex", "csv", "json"]
FORMATS: tuple[Format, ...] = ("github", "text", "latex", "csv", "json")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "table",
        help="the table of a suite",
        description="The table of a suite: what was measured here, beside what its paper printed.",
    )
    add_suites(parser)
    parser.add_argument("--format", choices=FORMATS, help="default: text on a terminal, else github; csv: a line a run")
    add_json(parser, "the same as --format json")
    parser.add_argument("--paper", action="store_true", help="with latex: for a manuscript, labelled and without notes")
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME",
        help="these columns of what was measured alone, such as method AP vehicle.AP50",
    )
    parser.add_argument("--committed", action="store_true", help="the committed baseline's results, not the local ones")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Always 0: an incomplete table is printed with what it lacks; `check` is the gate."""
    from bench.report.latex import manuscript
    from bench.report.layout import width
    from bench.report.make import command, make_table, save
    from bench.report.render import render

    if args.json and args.format not in (None, "json"):
        raise UsageError(f"--json and --format {args.format}: which of the two?")
    on_terminal = args.output is None and width() is not None
    form: Format = "json" if args.json else args.format or ("text" if on_terminal else "github")
    if args.output is not None and not args.output.name:
        raise UsageError(f"--output {args.output}: is a folder; the name of a file is wanted")
    if args.paper and form != "latex":
        raise UsageError(f"--paper belongs to --format latex, found {form}")
    if args.columns and form == "json":
        raise UsageError("--columns: JSON has everything; leave it out")
    suites = located(args)
    tables = [make_table(suite, args.tier, args.committed, args.columns) for suite in suites]
    names = [suite.name for suite in suites]
    again = command(names, args.tier, args.committed, form, args.core, args.paper, args.columns)
    text = manuscript(tables, again) if args.paper else render(tables, form, again)
    if args.output is None:
        sys.stdout.write(text)
    else:
        save(args.output, text)
    return 0
