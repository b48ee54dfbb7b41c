"""`qdet-bench summary`: tables and overview of committed records, and the numbers that DVC compares revisions by."""

import argparse
import sys

from bench.cli.common import named_suites


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "summary",
        help="write tables and overview of the committed records, and what `dvc metrics` and `dvc plots` compare",
        description="From the committed records of all suites: their tables below results/, results/overview.md, "
        "results/metrics.json and results/plots/. Commit them with the records; then `dvc metrics diff` and `dvc plots "
        "diff` compare revisions. A table whose data are not here stays as it is.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0."""
    from bench.report.summary import blocked, write_summary
    from bench.schema.source import shown

    suites = named_suites(["all"], args.root)
    for path in write_summary(suites, args.root):
        print(shown(path))
    if absent := ", ".join(blocked(suites)):
        told = "so which of their runs are of earlier settings is not known, and results/overview.md counts them all"
        print(f"qdet-bench: warning: the data of {absent} are not here, {told}", file=sys.stderr)
    return 0
