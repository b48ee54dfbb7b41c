"""A contact sheet of scenes with their boxes, for people."""

from pathlib import Path

from PIL import Image, ImageDraw

from bench.data.shapes import Flavour
from bench.data.shapes.scene import class_names, render

_ENLARGED = 256
"""Scenes are enlarged to at least this side, px, so that small boxes can be told apart."""


def contact_sheet(flavour: Flavour, side: int, count: int, out: Path) -> None:
    """Write the first `count` training scenes as a PNG; crowd boxes are red, difficult ones yellow."""
    names, zoom = class_names(flavour), max(1, _ENLARGED // side)
    cell, columns = side * zoom + 4, max(1, min(count, 1536 // (side * zoom + 4)))
    sheet = Image.new("RGB", (columns * cell, -(-count // columns) * cell))
    for index in range(count):
        scene = render(flavour, side, "train", index)
        picture = Image.fromarray(scene.pixels).resize((side * zoom, side * zoom), Image.Resampling.NEAREST)
        pen = ImageDraw.Draw(picture)
        for thing in scene.objects:
            colour = "red" if thing.crowd else "yellow" if thing.difficult else "white"
            x0, y0, x1, y1 = (c * zoom for c in thing.box)
            pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour)
            corner = (x0 + 2, max(y0 - 10, 0))
            pen.text(corner, names[thing.label], fill=colour, stroke_width=1, stroke_fill="black")
        sheet.paste(picture, (index % columns * cell, index // columns * cell))
    sheet.save(out)
