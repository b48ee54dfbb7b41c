"""`qdet-bench du` and `qdet-bench gc`: what the local store takes, and what of it no suite needs."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_json, print_json
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.plan.unused import Unused
    from bench.records.usage import Size


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both commands."""
    du = commands.add_parser(
        "du",
        help="what the local store takes on the disk, by kind of file",
        description="Sizes below results/local and data/shapes by kind: records (with logs and losses), predictions, "
        "checkpoints, snapshots of unfinished training, submitted predictions, curves of `run --log`, "
        "notes of what was read, and drawings (Shapes, which are drawn again where they are absent).",
    )
    add_json(du)
    du.set_defaults(run=run_du)
    gc = commands.add_parser(
        "gc",
        help="name, or remove, what of the local store no suite needs",
        description="Name jobs that no suite asks for any more at any tier, what killed attempts left beside a record, "
        "and Shapes that no suite declares. Removes nothing without --delete. Committed and submitted records, jobs "
        "that run, and jobs on data that are absent now always stay.",
    )
    gc.add_argument("--delete", action="store_true", help="remove what is named")
    gc.add_argument("--gone", action="store_true", help="also jobs of suites that are not below suites/ any more")
    add_json(gc)
    gc.set_defaults(run=run_gc)


def run_du(args: argparse.Namespace) -> int:
    """0."""
    from bench.records.store import Store
    from bench.records.usage import Size, sizes

    found = sizes(Store(args.root.resolve()))
    total = Size(sum(size.files for size in found.values()), sum(size.bytes for size in found.values()))
    if args.json:
        print_json({"kinds": {kind: size._asdict() for kind, size in found.items()}, "total": total._asdict()})
    else:
        print(_table([[kind, *_cells(size)] for kind, size in [*found.items(), ("total", total)]], ["kind"]))
    return 0


def run_gc(args: argparse.Namespace) -> int:
    """0; UsageError where a suite is wrong, since nobody knows what that needs."""
    from bench.plan.unused import find_unused, remove
    from bench.records.store import Store
    from bench.schema.load import SUITES, load_all

    root = args.root.resolve()
    suites, errors = load_all(args.root)
    for error in errors.values():
        first = str(error).partition("\n")[0]
        raise UsageError(f"{first}; mend it first: `gc` must know what each suite needs")
    if not suites:
        raise UsageError(f"{args.root / SUITES}: there are no suites, so nothing is known to be unused; see --root")
    found = find_unused(suites, Store(root), args.gone)
    stay = remove(found.unused) if args.delete else []
    gone = [one for one in found.unused if one not in stay]
    if args.json:
        print_json(
            {
                "deleted": args.delete,
                "unused": [{"path": str(one.path), "why": one.why, **one.size._asdict()} for one in gone],
                "kept": found.kept,
            }
        )
        return 0
    if gone:
        rows = [[str(one.path.relative_to(root)), *_cells(one.size), one.why] for one in gone]
        print(_table(rows, ["path"], ["why"]))
    for why, count in found.kept.items():
        print(f"kept, {count}: {why}")
    print(_sum(gone, args.delete))
    return 0


def _sum(gone: "list[Unused]", deleted: bool) -> str:
    if not gone:
        return "nothing is unused"
    what = f"{len(gone)} unused, {sum(one.size.bytes for one in gone) / 1e6:.1f} MB"
    return f"{what}: removed" if deleted else f"{what}; `qdet-bench gc --delete` removes them"


def _cells(size: "Size") -> list[str]:
    return [str(size.files), f"{size.bytes / 1e6:.1f}"]


def _table(rows: list[list[Any]], before: list[str], behind: list[str] | None = None) -> str:
    from tabulate import tabulate

    headers = [*before, "files", "MB", *(behind or [])]
    align = [*("left" for _ in before), "right", "right", *("left" for _ in behind or [])]
    return tabulate(rows, headers, tablefmt="plain", disable_numparse=True, colalign=align)
