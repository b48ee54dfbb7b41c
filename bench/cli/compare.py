"""`qdet-bench compare`: the paired difference of two records or two detection files, with its interval."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import (
    add_critical,
    add_dialect,
    add_json,
    add_metric,
    add_tier,
    chosen_metric,
    dialect,
    print_json,
    warn,
)
from bench.errors import Exit, UsageError
from bench.schema.group import FEW
from bench.schema.metric_names import parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.evaluation.critical import Critical
    from bench.schema.group import Groups
    from bench.schema.suite import Metric
    from bench.statistics.bootstrap import Comparison, Difference
    from bench.statistics.limits import Held, Limit

MOST_REPLICATES = 1_000_000
SHOWN = 5
"""Categories that fell most which are named."""
FEW_IMAGES = 600
"""Below it no coverage of 93 to 97 % is promised."""
OF_FILES = ("metric", "iou", "pixels")
LIMITS = (
    ("replicates", 100, MOST_REPLICATES),
    ("seed", 0, 2**63 - 1),
    ("jobs", 1, 64),
    ("min_images", 2, 1_000_000_000),
)
"""Of the options that are numbers."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "compare",
        help="paired difference of two records or two detection files, with its interval",
        description="B minus A in every metric, with 95 % intervals from a paired bootstrap over images: both sides "
        "are scored on the same resampled images. With --fail-below it is a gate: exit 1 where something fell below "
        "its limit; 3 where a limit could not be judged.",
        epilog="A and B are SUITE:ROW or SUITE:ROW:SEED, 6 or more digits of a record's identity, or, with --gt, COCO "
        "result lists. Records of different data or metrics are refused.",
    )
    parser.add_argument("a", metavar="A", help="what is compared with")
    parser.add_argument("b", metavar="B", help="what is compared")
    parser.add_argument("--gt", type=Path, metavar="GT.json", help="ground truth of two detection files: COCO JSON")
    add_tier(parser)
    add_metric(parser, "with --gt: ")
    add_dialect(parser)
    add_critical(parser)
    parser.add_argument("--replicates", type=int, default=1000, metavar="N", help="resamples (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the resampling (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument(
        "--min-images",
        type=int,
        metavar="N",
        help="a category with its objects on fewer images has no interval and no p (default: 20)",
    )
    parser.add_argument(
        "--fail-below",
        action="append",
        default=[],
        metavar="NAME=POINTS",
        help="exit 1 where B minus A is below this many points, such as AP=-0.5, of a category AP:car=-2, of a group "
        "vehicle.AP=-1; several are allowed",
    )
    parser.add_argument(
        "--bound", action="store_true", help="hold the interval's lower end against --fail-below, not the difference"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; of a gate 1 where something fell, 3 where a limit cannot be judged; UsageError for what is not comparable."""
    from bench.evaluation.metric import METRICS
    from bench.report.layout import fold
    from bench.statistics.limits import Limit, hold

    args.min_images = FEW if args.min_images is None else args.min_images
    for option, low, high in LIMITS:
        if not low <= getattr(args, option) <= high:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} {getattr(args, option)}: must be from {low} to {high}")
    if args.bound and not args.fail_below:
        raise UsageError("--bound belongs to --fail-below")
    limits = [Limit.parse(text) for text in args.fail_below]
    if twice := [str(limit) for limit in limits if [str(other) for other in limits].count(str(limit)) > 1]:
        raise UsageError(f"--fail-below {twice[0]}: has two limits")
    names, comparison, metric = (_records if args.gt is None else _files)(args, limits)
    held = hold(limits, comparison, METRICS[metric.variant].headline, bound=args.bound)
    code = _code(held)
    if args.json:
        print_json(_as_json(names, comparison, metric) | {"exit": code, "limits": [_limit(one) for one in held]})
    else:
        print(_text(names, comparison, metric))
        print("".join(f"\n{fold(_printable(one.words))}" for one in held), end="\n" if held else "")
    return code


def _code(held: "list[Held]") -> Exit:
    statuses = {one.status for one in held}
    return Exit.FAILED if "fell" in statuses else Exit.INCOMPLETE if "unknown" in statuses else Exit.OK


def _limit(held: "Held") -> dict[str, Any]:
    return {"name": str(held.limit), "limit": held.limit.points, "value": held.value, "status": held.status}


def _chosen(args: argparse.Namespace, limits: "list[Limit]", critical: "Critical") -> "Groups":
    """The groups that --critical names, and those that only a limit names."""
    groups = critical.groups(args.critical)
    for limit in limits:
        name = parts(limit.name).group
        if name is not None and name not in groups:
            groups[name] = critical.parse(name, "--fail-below")[1]
    return groups


def _records(args: argparse.Namespace, limits: "list[Limit]") -> "tuple[tuple[str, str], Comparison, Metric]":
    from bench.evaluation.critical import Critical
    from bench.verdict.groups import known, lacking
    from bench.verdict.images import Task, compare_records, groups_of_sides
    from bench.verdict.sides import find_side

    for option in OF_FILES:
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} belongs to --gt: records have been scored by their suite's metric")
    a, b = find_side(args.a, args.root, args.tier), find_side(args.b, args.root, args.tier)
    task = Task(args.replicates, args.seed, args.jobs, args.min_images)
    found = groups_of_sides((a, b), args.root)

    def choose(gt: "Mapping[str, Any]") -> "Groups":
        return {**known(found), **_chosen(args, limits, Critical(gt, known(found), lacking(found)))}

    comparison, metric = compare_records(a, b, args.root, task, choose)
    return (a.name, b.name), comparison, metric


def _files(args: argparse.Namespace, limits: "list[Limit]") -> "tuple[tuple[str, str], Comparison, Metric]":
    from bench.evaluation.critical import Critical
    from bench.evaluation.files import read_detections, read_ground_truth
    from bench.evaluation.spelling import Known
    from bench.verdict.images import Task, compare_detections

    metric = chosen_metric(args)
    gt, problems = read_ground_truth(args.gt)
    names = Known(gt, str(args.gt))
    a, b = (read_detections(Path(path), names, dialect(args)) for path in (args.a, args.b))
    for found in (problems, a.problems, b.problems):
        warn(found)
    groups = _chosen(args, limits, Critical(gt))
    task = Task(args.replicates, args.seed, args.jobs, args.min_images, groups)
    return (args.a, args.b), compare_detections(gt, a.detections, b.detections, metric, task), metric


def conditions(found: "Comparison") -> str:
    """What the intervals rest on."""
    images, are = ("1 image", "is") if found.images == 1 else (f"{found.images} images", "are")
    few = (
        f" {images} {are} few: how often such intervals cover is measured in results/statistics/coverage.md."
        if found.images < FEW_IMAGES
        else ""
    )
    return (
        f"Intervals: 95 %, percentile bootstrap over {images}, {found.replicates} replicates, seed "
        f"{found.seed}; both sides on the same resampled images. They condition on these two sets of predictions, so "
        f"on one training run a side: how far another seed would move it is not in them.{few}"
    )


def _as_json(names: tuple[str, str], found: "Comparison", metric: "Metric") -> dict[str, Any]:
    return {
        "a": names[0],
        "b": names[1],
        "metric": metric.model_dump(mode="json"),
        "images": found.images,
        "replicates": found.replicates,
        "seed": found.seed,
        "level": 0.95,
        "min_images": found.few,
        "conditions": conditions(found),
        "groups": {name: list(categories) for name, categories in found.groups.items()},
        "fell_most": found.fell_most(SHOWN),
        "metrics": {name: _one(difference) for name, difference in found.metrics.items()},
        "per_category": {
            name: {**_one(difference), "p_holm": found.adjusted.get(name)}
            for name, difference in found.per_category.items()
        },
    }


def _one(found: "Difference") -> dict[str, Any]:
    interval = None if found.interval is None else list(found.interval)
    return {**found._asdict(), "interval": interval}


def _text(names: tuple[str, str], found: "Comparison", metric: "Metric") -> str:
    from bench.evaluation.metric import metric_of
    from bench.report.layout import fold, table

    metrics = [[name, *_cells(difference)] for name, difference in found.metrics.items() if not parts(name).group]
    groups = [
        [_printable(name), *_cells(difference), str(difference.images)]
        for name, difference in found.metrics.items()
        if parts(name).group
    ]
    categories = [
        [_printable(name), *_cells(difference), _p(found.adjusted.get(name)), str(difference.images)]
        for name, difference in found.per_category.items()
    ]
    columns = ["A", "B", "B - A", "95 % interval"]
    tables = [
        (["metric", *columns], metrics),
        *([(["group", *columns, "images"], groups)] if groups else []),
        (["category, AP", *columns, "p (Holm)", "images"], categories),
    ]
    shown = [table(headers, rows, range(1, len(headers))) for headers, rows in tables]
    p = f"p: of no difference, corrected by Holm over {len(found.adjusted)} categories; their intervals are not."
    if any(one.difference is not None and one.images < found.few for one in found.per_category.values()):
        p += f" -: fewer than {found.few} images (--min-images) have an object of the category, too few to tell."
    if fell := found.fell_most(SHOWN):
        p += f"\nFell most, of categories with {found.few} images or more: {', '.join(map(_printable, fell))}."
    for name, members in found.groups.items():
        p += f"\nGroup {_printable(name)}: {', '.join(map(_printable, members))}."
    head = f"A: {names[0]}\nB: {names[1]}\n{metric_of(metric).words()}"
    return "\n\n".join([fold(head), *shown, fold(f"{conditions(found)}\n{p}")])


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _cells(found: "Difference") -> list[str]:
    interval = "-" if found.interval is None else f"{100 * found.interval.low:+.2f} to {100 * found.interval.high:+.2f}"
    difference = "-" if found.difference is None else f"{100 * found.difference:+.2f}"
    return ["-" if v is None else f"{100 * v:.2f}" for v in (found.a, found.b)] + [difference, interval]


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"
