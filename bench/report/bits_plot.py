"""Sensitivities and bits of the layers of rows whose methods allocate bits (docs/fisher.md). Imports matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.report.plots import COLOURS, save


def draw_bits(path: Path, allocated: Mapping[str, Mapping[str, Any]]) -> Path:
    """One line of points for each row, by its name, from `facts` as `bench.methods.bit_budget` leaves them in records.

    Above the sensitivity of each layer over the largest of the row, below its bits. The rows have the same layers.
    Raises BenchError where nothing can be written there.
    """
    layers = list(next(iter(allocated.values()))["layers"])
    figure = Figure(figsize=(max(6.0, 0.22 * len(layers)), 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for k, (name, facts) in enumerate(allocated.items()):
        found = [facts["layers"][layer] for layer in layers]
        most = max(one["sensitivity"] for one in found) or 1.0
        # A row's own place beside the layer: rows often agree.
        at = [i + 0.6 * (k + 0.5) / len(allocated) - 0.3 for i in range(len(layers))]
        style = {"marker": "o", "markersize": 3, "linewidth": 0, "color": COLOURS[k % len(COLOURS)], "label": name}
        above.plot(at, [max(one["sensitivity"] / most, 1e-8) for one in found], **style)
        below.plot(at, [one["bits"] for one in found], **style)
    above.set(yscale="log", ylabel="sensitivity / largest")
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", fontsize=7, frameon=False, ncols=5)
    below.set(ylabel="bits", xticks=range(len(layers)))
    below.set_xticklabels([layer.removesuffix(".weight") for layer in layers], rotation=90, fontsize=5)
    for panel in (above, below):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", linewidth=0.3)
    return save(figure, path)
