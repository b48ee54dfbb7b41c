"""Example detections side by side: the truth, and what the two rows of a claim found."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bench.data.dataset import Dataset
from bench.data.images import load_bgr
from bench.data.load import load
from bench.errors import BenchError
from bench.evaluation.boxes import Detections
from bench.evaluation.choice import best, choose
from bench.records.record import Record
from bench.records.store import Store
from bench.report.html.rows import label
from bench.report.sections import Section
from bench.schema.claim import Claim
from bench.verdict.kept import kept_predictions
from bench.verdict.sides import Side, detections_of

COLOURS = 6
SMALL = 128 * 128
"""Pixels up to which an image is kept without loss."""


class Box(NamedTuple):
    """A box in pixels, with its number, words and colour."""

    x: float
    y: float
    width: float
    height: float
    number: int
    words: str
    colour: int


class Panel(NamedTuple):
    """One image with the boxes of the truth or of one row."""

    title: str
    anchor: str | None
    boxes: tuple[Box, ...]


class Picture(NamedTuple):
    """One image, as many times as there are panels."""

    name: str
    width: int
    height: int
    source: str
    """A `data:` address."""
    panels: tuple[Panel, ...]


class Pictures(NamedTuple):
    """Of one claim."""

    claim: Claim
    pictures: tuple[Picture, ...]


def pictures(section: Section, images: str | None) -> Iterator[Pictures]:
    """Of each difference whose two rows have predictions of their first repetition here; the second row's stand first.

    Nothing where no images are asked for, or where the data are not here. UsageError as `choose` raises it.
    """
    if images is None:
        return
    data: Dataset | None = None
    for claim, sides in pictured(section):
        data = _data(section) if data is None else data
        found = [detections_of(side) for side in sides]
        rows = [section.results.located.suite.row(row) for row in reversed(claim.rows[:2])]
        heads = [(label(row), section.anchor(row.id)) for row in rows]
        chosen = choose(images, data.coco, found)
        yield Pictures(claim, tuple(_picture(data, image, heads, found) for image in chosen))


def pictured(section: Section) -> Iterator[tuple[Claim, list[Side]]]:
    """The claims whose two rows have predictions here, the second row first; none where the data are not here."""
    if any(job.job.blocked for job in section.results.jobs):
        return
    for claim in section.results.located.suite.claims:
        sides = [side for row in reversed(claim.rows[:2]) if (side := _side(section, row)) is not None]
        if len(sides) == 2:
            yield claim, sides


def _side(section: Section, row: str) -> Side | None:
    for result in section.results.jobs:
        record = result.record
        if (result.job.row.id, result.job.repetition) == (row, 0) and record is not None:
            path = _predictions(section.results.located.root, record)
            return None if path is None or record.pin != result.job.protocol.pin else Side(row, record, path)
    return None


def _predictions(root: Path, record: Record) -> Path | None:
    places = (Store(root).folder(record.identity).predictions, kept_predictions(root, record))
    return next((path for path in places if path.is_file()), None)


def _data(section: Section) -> Dataset:
    suite = section.results.located
    return load(suite.suite.tiers[section.tier].data, "test", suite.root, Store(suite.root).data_cache)


def _picture(
    data: Dataset, image: int, heads: Sequence[tuple[str, str | None]], found: Sequence[Detections]
) -> Picture:
    facts = next(one for one in data.coco["images"] if one["id"] == image)
    names = {category["id"]: category["name"] for category in data.coco["categories"]}
    truth = [one for one in data.coco["annotations"] if one["image_id"] == image and not one["iscrowd"]]
    panels = [Panel("truth", None, _boxes(truth, names))]
    panels += [
        Panel(title, anchor, _boxes(best(each, image), names))
        for (title, anchor), each in zip(heads, found, strict=True)
    ]
    source, (width, height) = _source(data.images_root / facts["file_name"])
    return Picture(str(facts["file_name"]), width, height, source, tuple(panels))


def _boxes(boxes: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> tuple[Box, ...]:
    """Numbered from the best one on, which is drawn last."""
    made = []
    for number, box in enumerate(reversed(boxes), 1):
        score = f" {box['score']:.2f}" if "score" in box else ""
        x, y, width, height = box["bbox"]
        words, colour = f"{names[box['category_id']]}{score}", box["category_id"] % COLOURS
        made.append(Box(x, y, width, height, number, words, colour))
    return tuple(made)


def _source(path: Path) -> tuple[str, tuple[int, int]]:
    try:
        image = Image.fromarray(load_bgr(path)[..., ::-1])
    except ValueError as error:
        raise BenchError(f"{path}: cannot be shown: {error}") from None
    out = io.BytesIO()
    small = image.width * image.height <= SMALL
    image.save(out, **({"format": "PNG"} if small else {"format": "JPEG", "quality": 80}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}", image.size
