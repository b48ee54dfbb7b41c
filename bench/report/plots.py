"""HQOD's figures from saved predictions, as PNG files (2408.02561). Imports matplotlib, so nothing imports it early."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.data.dataset import Dataset
from bench.data.images import load_bgr
from bench.errors import BenchError
from bench.evaluation.boxes import Detections
from bench.evaluation.harmony import BINS, GRID, LEAST_IOU, Positives

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")
"""Paul Tol's bright scheme: told apart by colour-blind readers, too."""
PANEL = 3.2
"""Inches, side of a square panel."""
DPI = 150
SHOWN = 6
"""Detections of an image that are drawn."""
SHOWN_SCORE = 0.3
"""Detections below it are not drawn on images."""


def draw(
    folder: Path, names: Sequence[str], found: Sequence[Positives], over: Positives | None, over_name: str
) -> list[Path]:
    """Draw figures 2 (joint density), 3 (surface of c), 4 (IoU intervals) and 5 (gaps); returns the files.

    With `over`, figure 4 has each record's gain over it below the shares. Raises BenchError where nothing can be
    written there.
    """
    figures = {
        "density.png": _density(names, found),
        "surface.png": _surface(),
        "iou.png": _intervals(names, found, over, over_name),
        "gap.png": _gaps(names, found),
    }
    return [save(figure, folder / name) for name, figure in figures.items()]


def draw_detections(
    folder: Path,
    names: Sequence[str],
    detections: Sequence[Detections],
    data: Dataset,
    images: Sequence[int],
) -> Path:
    """Figures 1 and 6: a line for each image; the truth, and each record's best detections of score 0.3 or more."""
    columns = len(names) + 1
    figure = Figure(figsize=(PANEL * columns, PANEL * len(images) + 0.4), layout="constrained")
    panels: Any = figure.subplots(len(images), columns, squeeze=False)
    facts = {image["id"]: image for image in data.coco["images"]}
    labels = {category["id"]: category["name"] for category in data.coco["categories"]}
    for line, image in zip(panels, images, strict=True):
        pixels: Any = load_bgr(data.images_root / facts[image]["file_name"])[..., ::-1]
        truth = [a for a in data.coco["annotations"] if a["image_id"] == image and not a["iscrowd"]]
        good = [_best(each, image) for each in detections]
        sets: list[Sequence[Mapping[str, Any]]] = [truth, *good]
        for panel, boxes in zip(line, sets, strict=True):
            panel.imshow(pixels, interpolation="nearest")
            panel.set_axis_off()
            for box in boxes:
                _box(panel, box, labels[box["category_id"]])
        line[0].set_title(f"image {image}", loc="left", fontsize=7, color="#555555")
    for panel, title in zip(panels[0], ("truth", *names), strict=True):
        panel.set_title(title, fontsize=9)
    return save(figure, folder / "detections.png")


def _best(detections: Detections, image: int) -> list[Mapping[str, Any]]:
    found = detections.take((detections.image == image) & (detections.score >= SHOWN_SCORE))
    # The best one is drawn last, so on top.
    found = found.take(np.argsort(found.score, kind="stable")[-SHOWN:])
    rows = zip(found.category.tolist(), found.box.tolist(), found.score.tolist(), strict=True)
    return [{"category_id": category, "bbox": box, "score": score} for category, box, score in rows]


def _density(names: Sequence[str], found: Sequence[Positives]) -> Figure:
    figure = Figure(figsize=(PANEL * len(names) + 1, PANEL + 0.5), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    most, drawn = 0.0, []
    for panel, name, each in zip(panels, names, found, strict=True):
        weights = np.full(len(each.score), 100 / max(len(each.score), 1))
        cells = panel.hexbin(
            each.score,
            each.iou,
            weights,
            reduce_C_function=np.sum,
            gridsize=GRID,
            extent=(0, 1, LEAST_IOU, 1),
            mincnt=1,
        )
        drawn.append(cells)
        most = max([most, *np.asarray(cells.get_array()).tolist()])
        pearson = each.pearson()
        panel.set_title(f"{name}\nPearson {'-' if pearson is None else f'{pearson:.3f}'}", fontsize=9)
        panel.set(xlabel="score", xlim=(0, 1), ylim=(LEAST_IOU, 1))
    # One scale for all, from a single positive on.
    least = min(100 / max(len(each.score), 1) for each in found)
    for cells in drawn:
        cells.set_norm(LogNorm(least, max(most, 2 * least)))
    panels[0].set_ylabel("IoU")
    figure.colorbar(drawn[-1], ax=list(panels), label="% of the positives", format="%g")
    return figure


def _surface() -> Figure:
    """The indicator c = p^u * u^p (eqs. 5 and 6)."""
    side = np.linspace(0.001, 1, 200)
    p, u = np.meshgrid(side, side)
    figure = Figure(figsize=(PANEL + 1.2, PANEL + 0.3), layout="constrained")
    panel = figure.subplots()
    filled = panel.contourf(p, u, p**u * u**p, levels=np.linspace(0, 1, 21))
    lines = panel.contour(p, u, p**u * u**p, levels=[0.2, 0.4, 0.6, 0.8], colors="white", linewidths=0.7)
    panel.clabel(lines, fontsize=7)
    panel.set(xlabel="score p", ylabel="IoU u", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    figure.colorbar(filled, ax=panel, label=r"$c = p^u\, u^p$", ticks=np.linspace(0, 1, 6))
    return figure


def _intervals(names: Sequence[str], found: Sequence[Positives], over: Positives | None, over_name: str) -> Figure:
    shares = [100 * each.iou_histogram() for each in found]
    edges = np.linspace(LEAST_IOU, 1, BINS + 1)
    ticks = [f"{low:.2f}-{high:.2f}" for low, high in pairwise(edges)]
    rows = 1 if over is None else 2
    figure = Figure(figsize=(7, 3 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    _bars(panels[0], names, shares, ticks)
    panels[0].set_ylabel("% of the positives")
    if over is not None:
        base = 100 * over.iou_histogram()
        _bars(panels[1], names, [share - base for share in shares], ticks, legend=False)
        panels[1].axhline(0, color="black", linewidth=0.8)
        panels[1].set_ylabel(f"gain over\n{over_name}, points", fontsize=8)
    panels[-1].set_xlabel("IoU")
    return figure


def _gaps(names: Sequence[str], found: Sequence[Positives]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    panel = figure.subplots()
    ticks = [f"{k / BINS:.1f}-{(k + 1) / BINS:.1f}" for k in range(BINS)]
    _bars(panel, names, [100 * each.gap_histogram() for each in found], ticks)
    panel.set(xlabel="|IoU - score|", ylabel="% of the positives")
    return figure


def _bars(panel: Axes, names: Sequence[str], heights: Sequence[Any], ticks: Sequence[str], legend: bool = True) -> None:
    width = 0.8 / len(names)
    for k, (name, height) in enumerate(zip(names, heights, strict=True)):
        middle = np.arange(len(ticks)) - 0.4 + (k + 0.5) * width
        panel.bar(middle, height, width, label=name, color=COLOURS[k % len(COLOURS)])
    panel.set_xticks(range(len(ticks)), ticks, fontsize=7)
    panel.spines[["top", "right"]].set_visible(False)
    if legend:
        panel.legend(fontsize=8, frameon=False)


def _box(panel: Axes, box: Mapping[str, Any], label: str) -> None:
    x, y, width, height = box["bbox"]
    colour = COLOURS[box["category_id"] % (len(COLOURS) - 2)]
    panel.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.2))
    text = f"{label} {box['score']:.2f}" if "score" in box else label
    panel.text(
        x, y, text, fontsize=5, color="white", va="bottom", clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, and return its file; BenchError where nothing can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from error
    return path
