"""`qdet-bench summary`: tables and overview of committed records, and the numbers that DVC compares revisions by."""

import argparse

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
    from bench.report.summary import write_summary
    from bench.schema.source import shown

    for path in write_summary(named_suites(["all"], args.root), args.root):
        print(shown(path))
    return 0
