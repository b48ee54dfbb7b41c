"""`qdet-bench data`: the data sets that suites name and those that are pinned: list, get, make and verify them."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.cli import data_pins
from bench.cli.common import add_json, add_tier, print_json
from bench.errors import Exit, UsageError

if TYPE_CHECKING:
    from bench.data.sets import DataSet


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command and its own commands."""
    parser = commands.add_parser("data", help="list, get, make or verify data sets")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="data sets, who uses them, and whether they are there")
    make = actions.add_parser("make", help="generate Shapes below data/shapes")
    get = actions.add_parser("get", help="download, verify and unpack a pinned data set (data/NAME.dvc)")
    get.add_argument("name", metavar="NAME", help="a pin, as `data list` names it")
    get.add_argument("--url", help="download from here, not from the pin's addresses; the hashes stay the pin's")
    verify = actions.add_parser("verify", help="read every split and decode every image; of a pin, check every hash")
    for action in (make, verify):
        action.add_argument("name", metavar="NAME", help="a data set, as `data list` names it, or a suite")
        add_tier(action)
    verify.add_argument("--all", action="store_true", help="a line for each problem, not one for each kind")
    for action, run in ((listing, _list), (get, data_pins.get), (make, _make), (verify, _verify)):
        add_json(action)
        action.set_defaults(run=run)


def _list(args: argparse.Namespace) -> int:
    """0, or 2 where a suite file is wrong."""
    from bench.data.pins.pin import load_pins
    from bench.data.sets import data_sets
    from bench.schema.load import load_all

    suites, errors = load_all(args.root)
    found = data_sets(suites, args.root)
    pins, wrong = load_pins(args.root)
    pinned = [data_pins.facts(pin) for pin in pins]
    faults = {name: str(error) for name, error in errors.items()} | wrong
    if args.json:
        print_json({"data": [entry.facts() for entry in found], "pins": pinned, "errors": faults})
    else:
        _print_list(found)
        if pinned:
            print(f"\n{_pin_table(pinned)}")
        for name, error in faults.items():
            print(f"\n{name}: wrong\n" + "\n".join(f"  {line}" for line in error.splitlines()))
    return Exit.USAGE if faults else Exit.OK


def _print_list(found: "list[DataSet]") -> None:
    from tabulate import tabulate

    rows = [[d.name, d.spec.kind, "present" if d.absent is None else "absent", " ".join(d.users)] for d in found]
    print(tabulate(rows, ["data set", "kind", "state", "used by"], tablefmt="plain") if rows else "no suite names data")
    for entry in found:
        if entry.absent is not None:
            print(f"{entry.name}: {entry.absent}")


def _pin_table(pins: list[dict[str, Any]]) -> str:
    from tabulate import tabulate

    rows = [[pin["name"], pin["size"] or "?", pin["state"], pin["description"]] for pin in pins]
    return tabulate(rows, ["pin", "bytes", "state", "what"], tablefmt="plain", disable_numparse=True)


def _make(args: argparse.Namespace) -> int:
    from bench.cli.ticker import Ticker
    from bench.data.sets import choose
    from bench.data.shapes.write import make
    from bench.schema.data import ShapesBase

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
    """0, or 1 where a split or an image cannot be read, or a pinned file is altered."""
    if data_pins.is_pin(args.name, args.root):
        return data_pins.verify(args)
    from bench.cli.ticker import Ticker
    from bench.data.sets import choose
    from bench.data.verify import verify

    entry = choose(args.name, args.tier, args.root)
    with Ticker(entry.name) as ticker:
        splits = verify(entry, ticker)
    if args.json:
        print_json({"name": entry.name, "splits": [split.facts() for split in splits]})
    else:
        for split in splits:
            print(split.text(args.all))
    return Exit.OK if all(split.readable for split in splits) else Exit.FAILED
