"""`qdet-bench report`: everything that was measured, as one HTML file."""

import argparse
import sys
from pathlib import Path

from bench.cli.common import named_suites
from bench.errors import UsageError
from bench.schema.suite import TIERS

OUTPUT = Path("results/local/report.html")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "report",
        help="one HTML file that shows what was measured",
        description="One HTML file that needs no network: the answer for each paper, tables, plots of claims, and "
        "for each number the run that it comes from.",
        epilog="It shows the committed records (baselines/) and, apart from them, those that were measured here "
        "(results/local/).",
    )
    parser.add_argument("--suite", nargs="+", default=[], metavar="SUITE", help="these suites alone (default: all)")
    parser.add_argument("--tier", choices=TIERS, help="this tier alone (default: all but smoke)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--committed", action="store_true", help="the committed records alone")
    only.add_argument("--local", action="store_true", help="what was measured here alone")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FOLDER",
        help="show how numbers moved since another checkout (`git worktree add FOLDER REVISION` makes one)",
    )
    parser.add_argument(
        "--images",
        metavar="IMAGES",
        help="show what the two rows of each claim detect on these images, where predictions and data are here: 3,17 "
        "(ids), a.jpg,b.jpg (names), random:4 or worst:4 (where the first row falls furthest behind the second)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"write to this file (default: {OUTPUT})")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; UsageError where there is nothing to show."""
    from bench.records.provenance import commit
    from bench.report.html.page import render
    from bench.report.html.pictures import pictured
    from bench.report.make import save
    from bench.report.sections import Origin, find_sections
    from bench.schema.source import shown

    if args.compare is not None and not (args.compare / "baselines").is_dir():
        raise UsageError(f"--compare {args.compare}: there is no folder baselines/ in it; name the root of a checkout")
    output = args.root / OUTPUT if args.output is None else args.output
    if not output.name or output.is_dir():
        raise UsageError(f"--output {output}: is a folder; the name of a file is wanted")
    origins: list[Origin] = ["committed"] if args.committed else ["local"] if args.local else ["committed", "local"]
    sections = find_sections(named_suites(args.suite or ["all"], args.root), origins, args.tier, args.compare)
    if not sections:
        hint = "" if args.tier else "; `--tier smoke` shows those of tier smoke, where there are any"
        raise UsageError(f"there is nothing to show: no record of these suites; `qdet-bench run` makes some{hint}")
    if args.images is not None and not any(found for section in sections for found in pictured(section)):
        print(
            f"qdet-bench: warning: --images {args.images}: no picture, as of no claim the data and the predictions of "
            "both rows are here; `qdet-bench harmony --plots FOLDER --images` draws any records of yours",
            file=sys.stderr,
        )
    revision, dirty = commit(args.root)
    words = None if revision is None else f"{revision[:12]}{' with changes' if dirty else ''}"
    tables = "1 table" if len(sections) == 1 else f"{len(sections)} tables"
    save(output, render(sections, " ".join(["qdet-bench", *args.given]), words, args.images))
    print(f"{shown(output)}: {tables}, {output.stat().st_size / 2**20:.1f} MiB; open it in a browser")
    return 0
