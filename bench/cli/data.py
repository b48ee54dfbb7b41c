"""`qdet-bench data`: the data sets that the suites' tiers name: list them, make Shapes, verify any."""

import argparse
from typing import TYPE_CHECKING

from bench.cli.common import add_json, add_tier, print_json
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.cli.data_sets import DataSet


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command and its own commands."""
    parser = commands.add_parser("data", help="list, make or verify the data sets that suites name")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="data sets, who uses them, and whether they are there")
    make = actions.add_parser("make", help="generate Shapes below data/shapes")
    verify = actions.add_parser("verify", help="read every split and decode every image")
    for action in (make, verify):
        action.add_argument("name", metavar="NAME", help="a data set, as `data list` names it, or a suite")
        add_tier(action)
    for action, run in ((listing, _list), (make, _make), (verify, _verify)):
        add_json(action)
        action.set_defaults(run=run)


def _list(args: argparse.Namespace) -> int:
    """0, or 2 where a suite file is wrong."""
    from bench.cli.data_sets import data_sets
    from bench.spec.load import load_all

    suites, errors = load_all(args.root)
    found = data_sets(suites, args.root)
    if args.json:
        sets = [entry.facts() for entry in found]
        print_json({"data": sets, "errors": {name: str(error) for name, error in errors.items()}})
    else:
        _print_list(found)
        for name, error in errors.items():
            print(f"\n{name}: wrong\n" + "\n".join(f"  {line}" for line in str(error).splitlines()))
    return 2 if errors else 0


def _print_list(found: "list[DataSet]") -> None:
    from tabulate import tabulate

    rows = [[d.name, d.spec.kind, "present" if d.absent is None else "absent", " ".join(d.users)] for d in found]
    print(tabulate(rows, ["data set", "kind", "state", "used by"], tablefmt="plain") if rows else "no suite names data")
    for entry in found:
        if entry.absent is not None:
            print(f"{entry.name}: {entry.absent}")


def _make(args: argparse.Namespace) -> int:
    from bench.cli.data_sets import choose
    from bench.cli.ticker import Ticker
    from bench.data.shapes.write import make
    from bench.spec.data import ShapesBase

    entry = choose(args.name, args.tier, args.root)
    if not isinstance(entry.spec, ShapesBase):
        raise UsageError(f"{entry.name}: only Shapes are generated; put a {entry.spec.kind} data set there yourself")
    with Ticker(entry.name) as ticker:
        folder = make(entry.spec, entry.cache, ticker)
    if args.json:
        print_json({"name": entry.name, "path": str(folder)})
    else:
        print(f"{entry.name}: present, {folder}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    """0, or 1 where a split or an image cannot be read."""
    from bench.cli.data_sets import choose
    from bench.cli.data_verify import verify
    from bench.cli.ticker import Ticker

    entry = choose(args.name, args.tier, args.root)
    with Ticker(entry.name) as ticker:
        splits = verify(entry, ticker)
    if args.json:
        print_json({"name": entry.name, "splits": [split.facts() for split in splits]})
    else:
        for split in splits:
            print(split.text())
    return 0 if all(split.readable for split in splits) else 1
