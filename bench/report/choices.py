"""What DetPTQ chose, from a record's facts: the metric of each quantizer, and the loss on the way. Imports matplotlib,
so nothing imports it early."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.plots import COLOURS, PANEL, save

BEST = 3
"""So many of the metrics that were tried everywhere are drawn beside the curve."""


def draw_choices(folder: Path, names: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> Path:
    """Draw a line of two panels for each record: its choices by site, and its curve with the loss of each metric that
    was tried everywhere. Raises BenchError where nothing can be written there.

    Args:
        folder: where `choices.png` goes.
        names: of the records.
        facts: of each record, those of its method `detptq`.
    """
    figure = Figure(figsize=(4 * PANEL, 1.2 * PANEL * len(names)), layout="constrained")
    panels: Any = figure.subplots(len(names), 2, squeeze=False, width_ratios=(2.5, 1))
    for (left, right), name, found in zip(panels, names, facts, strict=True):
        _choices(left, found)
        _curve(right, found)
        left.set_title(name, fontsize=9, loc="left")
    return save(figure, folder / "choices.png")


def _choices(panel: Axes, found: Mapping[str, Any]) -> None:
    names, sites = found["candidates"], found["order"]
    chosen = [names.index(found["choice"][site]) for site in sites]
    panel.plot(range(len(sites)), chosen, "o", markersize=3.5, color=COLOURS[0])
    panel.set_yticks(range(len(names)), names, fontsize=7)
    panel.set_xticks(range(len(sites)), sites, rotation=90, fontsize=4)
    panel.set(ylabel="p", ylim=(-0.5, len(names) - 0.5))
    panel.grid(axis="y", linewidth=0.4)


def _curve(panel: Axes, found: Mapping[str, Any]) -> None:
    if found["curve"]:
        panel.plot(found["curve"], color=COLOURS[0], label="search")
    best = sorted(found["fixed"].items(), key=lambda item: item[1])[:BEST]
    for k, (name, loss) in enumerate(best, start=1):
        panel.axhline(loss, linestyle="--", linewidth=0.8, color=COLOURS[k], label=f"p = {name} everywhere")
    panel.set(xlabel="quantizers searched", ylabel="loss on the choosing half")
    panel.legend(fontsize=7)
