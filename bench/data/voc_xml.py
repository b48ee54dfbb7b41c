"""One VOC annotation file: XML to objects, objects to COCO boxes.

Format: PASCAL VOC development kit (Everingham et al., IJCV 2010). Boxes by default as in HQOD's
`voc07_test.json` (HQOD, released code VP-QOD 27f69e85).
"""

import math
import xml.etree.ElementTree as ET
from typing import NamedTuple

from bench.data.dataset import Problem
from bench.schema.data import VocRules

Box = tuple[float, float, float, float]


class VocObject(NamedTuple):
    """One `<object>`."""

    number: int
    """1-based position in the file."""
    name: str
    corners: Box
    """xmin, ymin, xmax, ymax as written, px; may be NaN or in the wrong order."""
    difficult: bool


class VocFile(NamedTuple):
    """One annotation file."""

    filename: str
    """Empty where absent."""
    size: str | None
    """`<width>x<height>` as written; None where absent."""
    objects: tuple[VocObject, ...]
    problems: tuple[Problem, ...]


def parse_voc(data: bytes, where: str) -> VocFile:
    """Parse one annotation file. An object without name or four numbers is left out and reported.

    Raises ValueError for what is not an XML `<annotation>`, and for a DOCTYPE: without one no entity can be
    declared, so none can be expanded into gigabytes or read from another file.
    """
    try:
        root = ET.fromstring(data, ET.XMLParser(target=_NoDoctype()))
    except (ET.ParseError, LookupError) as error:
        raise ValueError(f"broken XML: {error}{_encoding(data)}") from None
    except ValueError as error:
        raise ValueError(f"{error}{'; save it as UTF-8' if 'encoding' in str(error) else ''}") from None
    if root.tag != "annotation":
        raise ValueError(f"<{root.tag}> where <annotation> should be")
    objects, problems = [], []
    for number, element in enumerate(root.findall("object"), start=1):
        place = f"{where} object {number}"
        name = (element.findtext("name") or "").strip()
        texts = [element.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
        try:
            x0, y0, x1, y1 = (float(text or "") for text in texts)
        except ValueError:
            problems.append(Problem("broken-object", place, f"no box of four numbers in {name!r}: left out"))
            continue
        if not name:
            problems.append(Problem("broken-object", place, "no <name>: left out"))
            continue
        flag = (element.findtext("difficult") or "0").strip()
        if flag not in ("0", "1"):
            problems.append(Problem("broken-difficult", place, f"<difficult> is {flag!r}: taken as 0"))
        objects.append(VocObject(number, name, (x0, y0, x1, y1), flag == "1"))
    width, height = root.findtext("size/width"), root.findtext("size/height")
    size = None if width is None or height is None else f"{width.strip()}x{height.strip()}"
    return VocFile((root.findtext("filename") or "").strip(), size, tuple(objects), tuple(problems))


def _encoding(data: bytes) -> str:
    """A hint at a file in another encoding than it says, or than UTF-8 where it says none."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return "" if b"encoding=" in data[:100] else f"; byte {error.start} is no UTF-8: save it as UTF-8"
    return ""


class Converted(NamedTuple):
    """A box in COCO's form, None where it is dropped, and (kind, detail) of what was wrong with it."""

    box: Box | None
    """x, y, width, height, px."""
    problems: tuple[tuple[str, str], ...]


def to_coco_box(item: VocObject, rules: VocRules, width: int, height: int) -> Converted:
    """Convert the corners by `rules` and clip the box to the image of `width` x `height` px.

    Dropped are NaN, boxes outside the image and boxes without extent. Corners that coincide are a click, not
    an object, even where `inclusive_extent` would make them 1 px wide. A float corner is kept as it is.
    """
    x0, y0, x1, y1 = item.corners
    as_written = f"{item.name} {x0:g} {y0:g} {x1:g} {y1:g}"
    if not (all(map(math.isfinite, item.corners)) and x1 > x0 and y1 > y0):
        return Converted(None, (("degenerate-box", f"{as_written}: no extent, dropped{_fractions(item)}"),))
    first = 1 if rules.subtract_one else 0
    last = first - 1 if rules.inclusive_extent else first
    whole = (x0 - first, y0 - first, x1 - last, y1 - last)
    left, top = max(whole[0], 0.0), max(whole[1], 0.0)
    right, bottom = min(whole[2], float(width)), min(whole[3], float(height))
    if right <= left or bottom <= top:
        detail = f"{as_written}: outside of {width}x{height}, dropped{_fractions(item)}"
        return Converted(None, (("degenerate-box", detail),))
    problems = []
    if first and min(x0, y0) == 0:
        problems.append(("zero-based", f"{as_written}: starts at 0, VOC at 1; `subtract_one: false` takes it as it is"))
    if any(corner != int(corner) for corner in item.corners):
        problems.append(("float-corner", f"{as_written}: kept as it is"))
    if whole != (left, top, right, bottom):
        problems.append(("clipped-box", f"{as_written}: clipped to {width}x{height}"))
    return Converted((left, top, right - left, bottom - top), tuple(problems))


def _fractions(item: VocObject) -> str:
    return "; fractions where px should be?" if min(item.corners) >= 0 and max(item.corners) <= 1 else ""


class _NoDoctype(ET.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a DOCTYPE; take that line out")
