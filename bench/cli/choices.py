"""`qdet-bench choices`: what a search over step sizes chose for each quantizer, as numbers and as a plot."""

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cli.common import add_json, add_tier, print_json
from bench.errors import UsageError

METHOD = "detptq"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "choices",
        help="the metric that DetPTQ chose for each quantizer, and what that did to the loss",
        description="For each record of a row with the method detptq: how often each metric was chosen, and the loss "
        "of the best metric everywhere and of the choice, on the images that chose and on those held out.",
        epilog="RECORD is SUITE:ROW, SUITE:ROW:SEED or 6 or more digits of a record's identity.",
    )
    parser.add_argument("records", nargs="+", metavar="RECORD", help="records to look at")
    add_tier(parser)
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the choices and the loss there, as PNG")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the numbers, draw what is asked for; 0. UsageError for a record whose row does not search."""
    from bench.verdict.sides import find_side

    sides = [find_side(name, args.root, args.tier) for name in args.records]
    facts: list[Mapping[str, Any]] = []
    for side in sides:
        found = getattr(side.record, "facts", {}).get(METHOD)
        if found is None:
            raise UsageError(f"{side.name}: its row has no method {METHOD}, so nothing was chosen")
        facts.append(found)
    names = [side.name for side in sides]
    if args.json:
        print_json({"records": [{"name": name, **found} for name, found in zip(names, facts, strict=True)]})
    else:
        print(_text(names, facts))
    if args.plots is not None:
        from bench.report.choices import draw_choices

        file = draw_choices(args.plots, names, facts)
        if not args.json:
            print(f"\n{file}")
    return 0


def _text(names: list[str], facts: list[Mapping[str, Any]]) -> str:
    from tabulate import tabulate

    lines = []
    for name, found in zip(names, facts, strict=True):
        fixed, curve, held = found["fixed"], found["curve"], found["held_out"]
        best = min(fixed, key=fixed.__getitem__) if fixed else None
        start, end = fixed.get(best), curve[-1] if curve else fixed.get(best)
        counts = Counter(found["choice"].values())
        chosen = ", ".join(f"{counts[c]} x {c}" for c in found["candidates"] if counts[c])
        numbers = (_number(x) for x in (start, end, held.get("fixed"), held["chosen"], found["passes"]))
        lines.append([name, best or "-", *numbers, chosen])
    heads = ["record", "best p", "loss", "chosen", "held out: loss", "chosen", "passes", "quantizers x p"]
    return tabulate(lines, heads, disable_numparse=True, colalign=["left", *["right"] * 6, "left"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
