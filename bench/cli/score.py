"""`qdet-bench score`: COCO or VOC metrics of any two JSON files, or of a record's predictions."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_critical, add_dialect, add_metric, add_tier, chosen_metric, dialect, warn
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.evaluation.metric import BoxMetric
    from bench.evaluation.scores import Scores
    from bench.schema.group import Groups


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Declare the command and its options; `run` is its default `run`."""
    parser = subparsers.add_parser(
        "score",
        help="score a COCO result list against a COCO ground-truth file, or the predictions of a record",
        description="Score a COCO result list against a COCO ground-truth file, or the stored predictions of a record "
        "by its suite's metric. Boxes and scores of files count as they stand there, without the rounding to 1/16 px "
        "of stored predictions. Fractions 0..1; -1 where undefined.",
        epilog="RECORD is SUITE:ROW, SUITE:ROW:SEED or 6 or more digits of a record's identity. The groups of its "
        "suite are scored too.",
    )
    parser.add_argument("record", nargs="?", metavar="RECORD", help="a record, in place of --gt and --dt")
    parser.add_argument("--gt", type=Path, metavar="GT.json", help="ground truth: COCO JSON")
    parser.add_argument("--dt", type=Path, metavar="DT.json", help="detections: COCO result list")
    add_tier(parser)
    add_critical(parser)
    add_dialect(parser)
    add_metric(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the scores; 0.

    Raises:
        UsageError: a wrong file or record, an unknown group, or an option that the metric does not have.
    """
    from bench.evaluation.groups import group_numbers

    metric, scores, groups = (_of_files if args.record is None else _of_record)(args)
    numbers = group_numbers(metric, scores.per_category, groups)
    critical = {
        group: {"categories": list(names), "metrics": {m: numbers[f"{group}.{m}"] for m in metric.by_category}}
        for group, names in groups.items()
    }
    if args.json:
        print(json.dumps(scores._asdict() | {"groups": critical}, indent=2))
    else:
        print(_text(scores, critical))
    return 0


def _of_files(args: argparse.Namespace) -> "tuple[BoxMetric, Scores, Groups]":
    from bench.data.doubts import doubts
    from bench.evaluation.critical import Critical
    from bench.evaluation.files import read_detections, read_ground_truth
    from bench.evaluation.metric import metric_of
    from bench.evaluation.spelling import Known

    if args.gt is None or args.dt is None:
        raise UsageError("score wants --gt and --dt, or a record")
    metric = metric_of(chosen_metric(args))
    gt, problems = read_ground_truth(args.gt)
    detections, left_out = read_detections(args.dt, Known(gt, str(args.gt)), dialect(args))
    warn([*problems, *left_out, *doubts(gt)])
    return metric, metric.score(gt, detections), Critical(gt).groups(args.critical)


def _of_record(args: argparse.Namespace) -> "tuple[BoxMetric, Scores, Groups]":
    from bench.evaluation.critical import Critical
    from bench.evaluation.metric import metric_of
    from bench.schema.base import parse
    from bench.schema.suite import Metric
    from bench.verdict.groups import known, lacking
    from bench.verdict.images import groups_of_sides
    from bench.verdict.sides import data_of, detections_of, find_side

    for option in ("gt", "dt", "metric", "iou", "pixels"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} belongs to files: a record has its suite's data and metric")
    side = find_side(args.record, args.root, args.tier)
    gt, metric = data_of(side, args.root).coco, metric_of(parse(Metric, side.record.part("metric")))
    declared = groups_of_sides([side], args.root)
    groups = {**known(declared), **Critical(gt, known(declared), lacking(declared)).groups(args.critical)}
    return metric, metric.score(gt, detections_of(side)), groups


def _text(scores: "Scores", critical: "dict[str, Any]") -> str:
    """Aligned tables: one line a metric, with a column a group; one line a category; `-` is undefined."""
    from tabulate import tabulate

    metrics = [
        [name, _cell(value), *(_cell(group["metrics"].get(name, -1)) for group in critical.values())]
        for name, value in scores.metrics.items()
    ]
    columns = [name for name in next(iter(scores.per_category.values())) if not name.startswith("AR")]
    categories = [
        [name if name.isprintable() else repr(name), *(_cell(values[column]) for column in columns)]
        for name, values in scores.per_category.items()
    ]
    names = [name if name.isprintable() else repr(name) for name in critical]
    tables = ((["metric", "value", *names], metrics), (["category", *columns], categories))
    # disable_numparse: a category may be called "1e5"
    return "\n\n".join(
        tabulate(rows, headers, disable_numparse=True, colalign=["left"] + ["right"] * (len(headers) - 1))
        for headers, rows in tables
    )


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value == -1 else f"{value:.4f}"
