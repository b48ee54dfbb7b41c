"""What several commands share: arguments, and the suites and tier that they name."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.dataset import Problem
from bench.errors import UsageError
from bench.evaluation.metric import METRICS
from bench.schema.load import Located, find, load_suite
from bench.schema.suite import MOST_SEEDS, TIERS, Metric

if TYPE_CHECKING:
    from bench.evaluation.spelling import Dialect


def add_suites(parser: argparse.ArgumentParser) -> None:
    """The suites and the tier that a command is about."""
    parser.add_argument("suites", nargs="+", metavar="SUITE", help="name such as hqod/table1, a file, or `all`")
    parser.add_argument("--core", action="store_true", help="the core rows alone, where the suite names them")
    add_tier(parser)


def add_tier(parser: argparse.ArgumentParser) -> None:
    """The tier; without it that of `Located.default_tier`."""
    parser.add_argument("--tier", choices=TIERS, help="scale to run at (default: mini, or the suite's only one)")


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON") -> None:
    """Machine-readable output."""
    parser.add_argument("--json", action="store_true", help=what)


def add_metric(parser: argparse.ArgumentParser, used: str = "") -> None:
    """The metric of two files, whose suite nobody knows; `used` says when it counts, such as `with --gt: `."""
    parser.add_argument(
        "--metric",
        choices=tuple(METRICS),
        help=f"{used}coco: COCO's 12 numbers; voc07: mAP at 11 recall levels; voc12: area (default: coco)",
    )
    parser.add_argument("--iou", type=float, metavar="X", help="IoU threshold of a VOC metric (default: 0.5)")
    parser.add_argument(
        "--pixels",
        choices=("inclusive", "exclusive"),
        help="whether a VOC box from x to x + w covers w + 1 pixels or w (default: inclusive, as VOC's)",
    )


def add_dialect(parser: argparse.ArgumentParser) -> None:
    """What a file of predictions does not say of itself."""
    parser.add_argument(
        "--boxes",
        choices=("xywh", "xyxy"),
        default="xywh",
        help="what the four numbers of a bbox are: corner and size, or two corners (default: xywh, as COCO has it)",
    )
    parser.add_argument(
        "--ignore-unknown",
        action="store_true",
        help="leave out detections on images or of categories that the ground truth lacks, and count them",
    )


def add_critical(parser: argparse.ArgumentParser) -> None:
    """Groups of categories whose numbers are wanted beside the overall ones."""
    parser.add_argument(
        "--critical",
        action="append",
        default=[],
        metavar="GROUP",
        help="all numbers on these categories alone as well: a group of the suite, a supercategory of the file, "
        "person, vehicle or animal of COCO or VOC, CATEGORY,CATEGORY or NAME=CATEGORY,CATEGORY; several are allowed",
    )


def dialect(args: argparse.Namespace) -> "Dialect":
    """What `add_dialect` was given."""
    from bench.evaluation.spelling import Dialect

    return Dialect(args.boxes, args.ignore_unknown)


def chosen_metric(args: argparse.Namespace) -> Metric:
    """The metric that `add_metric` was given; UsageError for a setting that it does not have."""
    variant = args.metric or "coco"
    given = {name: value for name in ("iou", "pixels") if (value := getattr(args, name)) is not None}
    for name in given.keys() - METRICS[variant].settings:
        having = " and ".join(other for other, metric in METRICS.items() if name in metric.settings)
        raise UsageError(f"--{name} belongs to --metric {having}; {variant} fixes it")
    if args.iou is not None and not 0 < args.iou <= 1:
        raise UsageError(f"--iou {args.iou:g}: must lie above 0 and be at most 1")
    return Metric.model_validate({"variant": variant, **given})


def located(args: argparse.Namespace) -> list[Located]:
    """The suites that the command line names; UsageError for one that is absent, wrong, or lacks the tier.

    Without a tier `args` gets the default of the suites.
    """
    return [_core(suite) if getattr(args, "core", False) else suite for suite in _named(args)]


def _core(suite: Located) -> Located:
    if not suite.suite.core:
        raise UsageError(f"--core: {suite.name} names no core rows; leave it out to take all rows")
    return replace(suite, suite=suite.suite.only(suite.suite.core))


def named_suites(names: Sequence[str], root: Path) -> list[Located]:
    """Suites by name, `all` for every one; UsageError for one that is absent or wrong."""
    names = list(dict.fromkeys(names))
    if "all" in names and len(names) > 1:
        raise UsageError("`all` stands alone: it names every suite that has the tier")
    return [load_suite(name, root) for name in (find(root) if names == ["all"] else names)]


def _named(args: argparse.Namespace) -> list[Located]:
    suites = named_suites(args.suites, args.root)
    if args.suites == ["all"]:
        args.tier = args.tier or "mini"
        return [suite for suite in suites if args.tier in suite.suite.tiers]
    defaults = {suite.default_tier: suite.name for suite in suites}
    if args.tier is None and len(defaults) > 1:
        named = ", ".join(f"{suite} {tier}" for tier, suite in defaults.items())
        raise UsageError(f"--tier is needed: the suites have other defaults ({named})")
    args.tier = args.tier or next(iter(defaults))
    for suite in suites:
        suite.tier(args.tier)
    return suites


def check_seeds(seeds: int | None) -> None:
    """UsageError for a number of repetitions that a suite could not declare either."""
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        bound = "must be at least 1" if seeds < 1 else f"must be at most {MOST_SEEDS}"
        raise UsageError(f"--seeds {seeds}: {bound}")


def warn(problems: Sequence[Problem]) -> None:
    """What a reader left out of a file, a line for each kind; on stderr, so that stdout stays clean for pipes."""
    from bench.data.doubts import by_kind

    for line in by_kind(problems):
        print(f"qdet-bench: warning: {line}", file=sys.stderr)


def print_json(value: Any) -> None:
    """JSON at full precision."""
    json.dump(value, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")
