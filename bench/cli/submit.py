"""`qdet-bench submit`: predictions that were computed elsewhere become an external record of a row."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_dialect, add_json, add_tier, dialect, print_json
from bench.evaluation.metric import METRICS

if TYPE_CHECKING:
    from bench.external.submit import Kept


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "submit",
        help="score predictions computed elsewhere, and keep them as an external record",
        description="Check predictions that were computed elsewhere against the suite's own test split, score them by "
        "its metric and keep them as an external record of the row. They stand in `table` and `check` as what they "
        "are, never in the baseline of our runs; `run` still runs the row. Any row of the suite will do, also one that "
        "is reported only.",
        epilog="DT.json is a COCO result list: bbox [x, y, width, height] in px of the original image, score, image_id "
        "or file_name, category_id or category_name. An empty list is a detector that found nothing.",
    )
    parser.add_argument("suite", metavar="SUITE", help="name such as hqod/table1, or a file")
    parser.add_argument("row", metavar="ROW", help="id of the row, as `list` shows it")
    parser.add_argument("--dt", type=Path, required=True, metavar="DT.json", help="the detections")
    add_tier(parser)
    add_dialect(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="repetition that they are of (default: 0)")
    parser.add_argument("--note", metavar="TEXT", help="where they come from; shown below the table")
    parser.add_argument("--replace", action="store_true", help="take the place of an earlier external record")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; UsageError for detections that do not fit the suite, BenchError for absent data."""
    from bench.external.submit import Submission, submit
    from bench.schema.load import load_suite

    suite = load_suite(args.suite, args.root)
    args.tier = args.tier or suite.default_tier
    suite.tier(args.tier)
    asked = Submission(args.row, args.seed, args.dt, args.note, args.given, dialect(args))
    kept = submit(suite, args.tier, asked, args.replace)
    warnings = list(_warnings(kept, args.dt))
    if args.json:
        print_json(_as_json(kept, warnings))
    else:
        print(_text(kept))
    for warning in warnings:
        print(f"qdet-bench: warning: {warning}", file=sys.stderr)
    return 0


def _warnings(kept: "Kept", file: Path) -> Iterator[str]:
    from bench.data.doubts import by_kind

    images = kept.record.data.splits["test"]["images"]
    yield from by_kind(kept.problems)
    if kept.record.predictions.count and 2 * kept.images < images:
        # A run that stopped half way scores like a bad detector.
        yield f"{file}: {images - kept.images} of {images} images have no detection"


def _text(kept: "Kept") -> str:
    record, images = kept.record, kept.record.data.splits["test"]["images"]
    metric = METRICS[record.variant or ""]
    values = [f"{name} {100 * record.metrics[name]:.2f}" for name in metric.columns]
    return (
        f"{kept.path}\n{', '.join(values)}, in percent; detections: {record.predictions.count}, on {kept.images} of "
        f"{images} images"
    )


def _as_json(kept: "Kept", warnings: list[str]) -> dict[str, Any]:
    record = kept.record
    return {
        "path": str(kept.path),
        "metrics": record.metrics,
        "predictions": record.predictions.model_dump(mode="json"),
        "submitted": record.submitted.model_dump(mode="json"),
        "data_pin": record.data.pin,
        "metric": record.part("metric"),
        "warnings": warnings,
    }
