"""`qdet-bench harmony`: how well scores and IoUs of saved predictions agree, as numbers and as plots."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import add_json, add_tier, print_json
from bench.errors import UsageError

IMAGES = "3,17 (ids), a.jpg,b.jpg (names), random:4 or worst:4 (where the last falls furthest behind the first)"
"""How images are named (`bench.evaluation.choice`)."""

if TYPE_CHECKING:
    from bench.evaluation.harmony import Positives
    from bench.verdict.sides import Side


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "harmony",
        help="agreement of score and IoU in the saved predictions of records: numbers and plots",
        description="Score and IoU of all positives: detections that overlap a box of their class by an IoU of 0.5 or "
        "more. As in HQOD's figures, a detection may count with several boxes and a box with several detections.",
        epilog="RECORD is SUITE:ROW, SUITE:ROW:SEED or 6 or more digits of a record's identity. All are of one data "
        "set.",
    )
    parser.add_argument("records", nargs="+", metavar="RECORD", help="records to look at")
    parser.add_argument("--over", metavar="RECORD", help="the record over which gains are shown (fig. 4)")
    add_tier(parser)
    parser.add_argument("--score", type=float, default=0.0, metavar="X", help="least score that counts (default: 0)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw HQOD's figures 2 to 5 there, as PNG")
    parser.add_argument(
        "--images", metavar="IMAGES", help=f"with --plots: detections of all records on these images: {IMAGES}"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the numbers, draw what is asked for; 0. UsageError for records of different data, or unknown images."""
    from bench.evaluation.choice import choose
    from bench.evaluation.harmony import positives
    from bench.verdict.sides import data_of, detections_of, find_side, refuse_different

    if not 0 <= args.score <= 1:
        raise UsageError(f"--score {args.score:g}: must lie in 0 to 1")
    if args.images is not None and args.plots is None:
        raise UsageError("--images belongs to --plots")
    names = [*args.records, *([args.over] if args.over else [])]
    sides = [find_side(name, args.root, args.tier) for name in names]
    for side in sides[1:]:
        refuse_different(sides[0], side, ("data",))
    data = data_of(sides[0], args.root)
    detections = [detections_of(side) for side in sides]
    images = [] if args.images is None else choose(args.images, data.coco, detections[: len(args.records)])
    found = [positives(data.coco, each, args.score) for each in detections]
    over = found[-1] if args.over else None
    shown = list(zip(sides, found, strict=True))[: len(args.records)]
    if args.plots is not None:
        from bench.report.plots import draw, draw_detections

        labels = [side.name for side, _ in shown]
        files = draw(args.plots, labels, [each for _, each in shown], over, sides[-1].name)
        if images:
            files.append(draw_detections(args.plots, labels, detections[: len(labels)], data, images))
    else:
        files = []
    if args.json:
        print_json({"over": sides[-1].name if args.over else None, "records": [_as_json(*one, over) for one in shown]})
    else:
        print(_text(shown, over))
        print("".join(f"\n{file}" for file in files), end="\n" if files else "")
    return 0


def _as_json(side: "Side", found: "Positives", over: "Positives | None") -> dict[str, Any]:
    gain = None if over is None else (found.iou_histogram() - over.iou_histogram()).tolist()
    return {
        "name": side.name,
        "identity": side.record.identity,
        "positives": len(found.score),
        "pearson": found.pearson(),
        "gap": found.gap_histogram().tolist(),
        "iou": found.iou_histogram().tolist(),
        "iou_gain": gain,
        "density": found.density().tolist(),
    }


def _text(shown: "list[tuple[Side, Positives]]", over: "Positives | None") -> str:
    """Three tables: the summary, the shares of IoU intervals, and the gains where a record to compare with is named."""
    from tabulate import tabulate

    from bench.evaluation.harmony import BINS, LEAST_IOU

    summary = []
    for side, found in shown:
        pearson, gap = found.pearson(), found.gap_histogram()
        summary.append(
            [
                side.name,
                len(found.score),
                "-" if pearson is None else f"{pearson:.3f}",
                *(f"{100 * value:.1f}" for value in (gap[0], gap[1], gap[2:4].sum(), gap[4:].sum())),
            ]
        )
    heads = ["record", "positives", "Pearson", "gap 0-0.1 %", "0.1-0.2 %", "0.2-0.4 %", "0.4-1 %"]
    step = (1 - LEAST_IOU) / BINS
    intervals = [f"{LEAST_IOU + k * step:.2f}" for k in range(BINS)]
    parts = [tabulate(summary, heads, disable_numparse=True, colalign=["left"] + ["right"] * 6)]
    tables = [("positives by IoU from … %", [(side.name, found.iou_histogram()) for side, found in shown])]
    if over is not None:
        base = over.iou_histogram()
        tables.append(("gain, points", [(side.name, found.iou_histogram() - base) for side, found in shown]))
    for title, rows in tables:
        cells = [[name, *(f"{100 * value:.1f}" for value in values)] for name, values in rows]
        align = ["left"] + ["right"] * BINS
        parts.append(tabulate(cells, [title, *intervals], disable_numparse=True, colalign=align))
    return "\n\n".join(parts)
