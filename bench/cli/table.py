"""`qdet-bench table`: what was measured, beside what the paper printed."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.common import add_suites, located
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.report.table import Table
    from bench.schema.load import Located
    from bench.schema.suite import Tier

FORMATS = ("github", "latex", "csv", "json")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "table",
        help="the table of a suite",
        description="The table of a suite: what was measured here, beside what its paper printed.",
    )
    add_suites(parser)
    parser.add_argument("--format", choices=FORMATS, default="github", help="default: github; csv holds no claims")
    parser.add_argument("--committed", action="store_true", help="the committed baseline's results, not the local ones")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Always 0: an incomplete table is printed with what it lacks; `check` is the gate."""
    from bench.report.render import render

    if args.output is not None and not args.output.name:
        raise UsageError(f"--output {args.output}: is a folder; the name of a file is wanted")
    suites = located(args)
    tables = [make_table(suite, args.tier, args.committed) for suite in suites]
    text = render(tables, args.format, command([s.name for s in suites], args.tier, args.committed, args.format))
    if args.output is None:
        sys.stdout.write(text)
    else:
        save(args.output, text)
    return 0


def save(path: Path, text: str) -> None:
    """Write a table; BenchError where the file cannot be written."""
    from bench.records.files import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from None


def make_table(suite: "Located", tier: "Tier", committed: bool) -> "Table":
    """The table of a suite, of local or of committed results."""
    from bench.report.table import build
    from bench.verdict.baseline import gather_committed, load
    from bench.verdict.gather import gather
    from bench.verdict.references import published_table

    published = published_table(suite)
    if committed:
        return build(gather_committed(suite, tier), published, None, committed=True)
    return build(gather(suite, tier), published, load(suite, tier))


def command(suites: list[str], tier: str, committed: bool, form: str = "github") -> str:
    """The command that makes the same table; without paths, which differ from machine to machine."""
    options = [*(["--committed"] if committed else []), *([f"--format {form}"] if form != "github" else [])]
    return " ".join(["qdet-bench table", *suites, f"--tier {tier}", *options])
