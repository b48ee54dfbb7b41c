"""`qdet-bench list`: the suites, their rows and tiers, their state and expected cost."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_json, print_json
from bench.errors import Exit, UsageError
from bench.plan.standing import STATES
from bench.schema.suite import TIERS

if TYPE_CHECKING:
    from bench.records.store import Store
    from bench.schema.load import Located


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "list",
        help="the suites, their rows, tiers, state and expected cost",
        description="List the suites below suites/. A wrong suite file is listed with its error; the exit "
        "code is then 2.",
    )
    parser.add_argument("--paper", metavar="FOLDER", help="only suites of this folder below suites/, such as hqod")
    parser.add_argument("--tier", choices=TIERS, help="only suites that have this tier, and of them this tier alone")
    parser.add_argument("--state", choices=STATES, help="only tiers with a job in this state")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, or 2 where a suite file is wrong; UsageError for a folder without suites."""
    from bench.records.store import Store
    from bench.schema.load import load_all

    suites, errors = load_all(args.root)
    store = Store(args.root.resolve())
    folders = dict.fromkeys(name.rpartition("/")[0] for name in (*(suite.name for suite in suites), *errors))
    if args.paper is not None and args.paper.strip("/") not in folders:
        raise UsageError(
            f"--paper {args.paper}: there is no such folder below suites/; there are {', '.join(filter(None, folders))}"
        )
    found = [facts for suite in suites if _is_asked_for(suite, args) and (facts := _facts(suite, store, args))["tiers"]]
    if args.json:
        print_json({"suites": found, "errors": {name: str(error) for name, error in errors.items()}})
    else:
        if not suites and not errors:
            print(_nothing(args))
        elif not found and not errors:
            print(f"None of {len(suites)} suites is of that kind; `qdet-bench list` shows all.")
        print("\n\n".join(_text(facts) for facts in found), end="\n" if found else "")
        for name, error in errors.items():
            print(f"\n{name}: wrong\n" + "\n".join(f"  {line}" for line in str(error).splitlines()))
    return Exit.USAGE if errors else Exit.OK


def _is_asked_for(suite: "Located", args: argparse.Namespace) -> bool:
    return args.paper is None or suite.name.startswith(f"{args.paper.strip('/')}/")


def _facts(located: "Located", store: "Store", args: argparse.Namespace) -> dict[str, Any]:
    from bench.plan.cost import to_pay
    from bench.plan.jobs import plan
    from bench.plan.standing import standings

    tiers = {}
    for tier in located.suite.tiers:
        if args.tier not in (None, tier):
            continue
        found = standings(plan(located, tier), store)
        counts = {state: sum(s.state == state for s in found) for state in STATES}
        if args.state is not None and not counts[args.state]:
            continue
        tiers[tier] = {"jobs": counts, "cost": to_pay(found)._asdict()}
    rows = [
        {
            "id": row.id,
            "label": row.label,
            "detector": row.detector,
            "bits": str(row.bits),
            "reported_only": row.reported_only,
        }
        for row in located.suite.rows
    ]
    return {
        "name": located.name,
        "title": located.suite.title,
        "path": str(located.path),
        "tiers": tiers,
        "rows": rows,
    }


def _text(facts: dict[str, Any]) -> str:
    from bench.cli.words import cost_words
    from bench.report.layout import fold

    ran = [row["id"] for row in facts["rows"] if row["reported_only"] is None]
    reported = [row["id"] for row in facts["rows"] if row["reported_only"] is not None]
    lines = [f"{facts['name']}  {facts['title']}", f"  rows: {' '.join(ran)}"]
    if reported:
        lines.append(f"  reported only: {' '.join(reported)}")
    for tier, state in facts["tiers"].items():
        counts = ", ".join(f"{count} {name}" for name, count in state["jobs"].items() if count)
        pay = f"; time to run: {cost_words(state['cost'])}" if state["cost"]["jobs"] else ""
        lines.append(f"  {tier}: {counts or 'nothing to run'}{pay}")
    return fold("\n".join(lines))


def _nothing(args: argparse.Namespace) -> str:
    from bench.schema.load import SUITES

    return (
        f"There are no suites below {args.root / SUITES}. Go to the folder that holds suites/, name it by "
        "--root, or write suites/<paper>/<table>.yaml."
    )
