"""`qdet-bench score`: COCO or VOC metrics of any two JSON files."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_dialect, add_metric, chosen_metric, dialect, warn

if TYPE_CHECKING:
    from bench.evaluation.scores import Scores


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Declare the command and its options; `run` is its default `run`."""
    parser = subparsers.add_parser(
        "score",
        help="score a COCO result list against a COCO ground-truth file",
        description="Score a COCO result list against a COCO ground-truth file. Boxes and scores count as "
        "they stand there, without the rounding to 1/16 px of stored predictions. Fractions 0..1; -1 where "
        "undefined.",
    )
    parser.add_argument("--gt", type=Path, required=True, metavar="GT.json", help="ground truth: COCO JSON")
    parser.add_argument("--dt", type=Path, required=True, metavar="DT.json", help="detections: COCO result list")
    add_dialect(parser)
    add_metric(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the scores; 0.

    Raises:
        UsageError: a wrong file, or an option that the metric does not have.
    """
    from bench.data.doubts import doubts
    from bench.evaluation.files import read_detections, read_ground_truth
    from bench.evaluation.metric import metric_of
    from bench.evaluation.spelling import Known

    metric = metric_of(chosen_metric(args))
    gt, problems = read_ground_truth(args.gt)
    detections, left_out = read_detections(args.dt, Known(gt, str(args.gt)), dialect(args))
    warn([*problems, *left_out, *doubts(gt)])
    scores = metric.score(gt, detections)
    if args.json:
        print(json.dumps(scores._asdict(), indent=2))
    else:
        print(_text(scores))
    return 0


def _text(scores: "Scores") -> str:
    """Two aligned tables: one line a metric, one line a category; `-` is undefined."""
    from tabulate import tabulate

    metrics = [[name, _cell(value)] for name, value in scores.metrics.items()]
    columns = list(next(iter(scores.per_category.values())))
    categories = [
        [name if name.isprintable() else repr(name), *map(_cell, values.values())]
        for name, values in scores.per_category.items()
    ]
    tables = ((["metric", "value"], metrics), (["category", *columns], categories))
    # disable_numparse: a category may be called "1e5"
    return "\n\n".join(
        tabulate(rows, headers, disable_numparse=True, colalign=["left"] + ["right"] * (len(headers) - 1))
        for headers, rows in tables
    )


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value == -1 else f"{value:.4f}"
