"""The published numbers: valid, complete against the reference document, and consistent with each other."""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import ValidationError

from bench.schema.bits import Bits
from bench.schema.published import GATING, PublishedFile, PublishedRow, PublishedTable, Quantity
from bench.schema.source import load_mapping

FOLDER = Path(__file__).parents[1] / "baselines" / "published"
PAPERS = Path(os.environ.get("QDET_SHARED", Path(__file__).parents[2] / "shared")) / "papers.md"
FILES = sorted(FOLDER.glob("*.yaml"))
COUNTS = {
    "aimet": {"T-AIMET": 6},
    "aqd": {"T-AQD-QTool": 30, "T-AQD-paper": 11, "T-AQD-ablation": 9},
    "cards": {"T-Cards-INT8": 10, "T-DETR-integer": 2, "T-QDETR-ablation": 1, "T-LiDAR-PTQ": 2, "T-HAWQ-V2": 2},
    "detptq": {"T-DetPTQ-headline": 2},
    "detr": {"T-DETR-official": 4, "T-DETR-panoptic": 3, "T-DeformableDETR-official": 7},
    "fisher": {"T-Fisher-headline": 2, "T-Fisher-anonymous": 2},
    "hailo": {"T-Hailo": 14},
    "hardet": {"T-HarDet": 18},
    "hqod": {"T-HQOD-1": 10, "T-HQOD-2": 20, "T-HQOD-3": 10, "T-HQOD-4": 3},
    "mmdet_zoo": {"T-ZOO": 35, "T-ZOO-v2-DETR": 4, "T-ZOO-VOC": 4},
    "mmrazor": {"T-mmrazor-PTQ": 10},
    "mqbench": {"T-MQB-Det": 15, "T-MQB-UP": 4, "T-MQB-yolov5s": 3},
    "nncf": {"T-NNCF": 4, "T-NNCF-VOC": 4, "T-NNCF-CI": 4},
    "nvidia": {"T-YOLOv7-calibrator": 4, "T-3D": 7},
    "paddleslim": {"T-Paddle-PTQ-Det": 29, "T-Paddle-SSD-VOC": 2},
    "ppq": {"T-ppq": 10, "T-ppq-mmdet": 6},
    "q2": {"T-Q2-VOC": 39},
    "qdrop": {"T-QDrop-Det": 12},
    "regptq": {"T-RegPTQ": 23},
    "tools": {
        "T-Neural-Compressor": 4,
        "T-YOLO-NAS": 6,
        "T-Sparsebit": 4,
        "T-Sparsebit-3D": 6,
        "T-Sony-MCT": 2,
        "T-Vitis-SSD": 3,
        "T-MLPerf": 3,
    },
    "vit": {"T-RepQ-ViT-Det": 12, "T-APHQ-ViT-Det": 8},
    "yolov6": {"T-YOLOv6-quant": 13},
}
AFTER_TRAINING = ("aimet", "cards", "hailo", "nncf", "nvidia", "paddleslim", "tools", "vit", "yolov6")
"""Files whose tables stand in the overview of quantization after training."""
NONE = "\N{EN DASH}"
"""How the document writes an empty cell."""
NOT_DETECTORS = {"T-LSQ-ImageNet-reimpl", "T-TQT-ImageNet", "T-MQB-Cls-PTQ", "T-SUMS-VOC", "T-SUMS-COCO"}
FROM_SENTENCES = {"T-Fisher-anonymous", "T-MQB-UP", "T-MQB-yolov5s"}


@cache
def published(name: str) -> PublishedFile:
    return PublishedFile.model_validate_json(json.dumps(load_mapping(FOLDER / f"{name}.yaml").data))


@cache
def tables() -> dict[str, PublishedTable]:
    return {table.id: table for path in FILES for table in published(path.stem).tables}


def rows() -> Iterator[tuple[PublishedTable, PublishedRow]]:
    return ((table, row) for table in tables().values() for row in table.rows)


# --- the files by themselves ------------------------------------------------------------------------------


def test_counts_are_pinned() -> None:
    found = {path.stem: {t.id: len(t.rows) for t in published(path.stem).tables} for path in FILES}
    assert found == COUNTS


def test_table_ids_are_unique_over_all_files() -> None:
    assert len(tables()) == sum(len(published(path.stem).tables) for path in FILES)


def test_gates_rest_on_trusted_marks_and_known_metrics() -> None:
    for table, row in rows():
        if row.gate:
            assert table.trust in GATING and table.metric == "coco" and row.doubtful is None, (
                table.id,
                row.id,
            )
        else:
            open_ = row.doubtful or row.unknown or table.information or table.id == "T-MQB-UP"
            why = table.trust not in GATING or table.metric != "coco" or open_
            assert why, f"{row.id} of {table.id} does not gate, without a reason"


def test_rows_tell_their_settings_apart() -> None:
    keys = [(t.id, r.model, r.dataset, r.method, str(r.bits), r.setting) for t, r in rows()]
    assert len(set(keys)) == len(keys)


def test_full_precision_is_32_bits() -> None:
    for table, row in rows():
        if row.method == "FP":
            assert row.bits.is_fp, (table.id, row.id)


def test_zoo_prefixes_are_those_of_the_file_names() -> None:
    for table in published("mmdet_zoo").tables:
        for row in table.rows:
            assert row.checkpoint is not None and row.checkpoint.url is not None
            assert row.checkpoint.url.endswith(f"-{row.checkpoint.sha256_prefix}.pth"), row.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trust": "2nd"}, "gate: false: its trust is '2nd'"),
        ({"metric": "voc"}, "gate: false: its metric is 'voc'"),
        ({"metric": None}, "metric"),
        ({"extra": 1}, "Extra inputs are not permitted"),
        ({"row": {"doubtful": "a reason"}}, "is doubtful: it must have gate: false"),
        ({"row": {"unknown": "placement"}}, "leaves placement open: it must have gate: false"),
        ({"information": "a tool's graph"}, "gate: false: its table is information"),
        ({"row": {"bits": "1/4"}}, "weight bits '1' are not supported"),
        ({"row": {"metrics": {"AP": 130.0}}}, "less than or equal to 100"),
        ({"row": {"metrics": {}}}, "at least 1 item"),
        ({"repeat": True}, "row id 'fp' is used more than once"),
    ],
)
def test_wrong_tables_are_refused(change: dict[str, object], message: str) -> None:
    data = tables()["T-HQOD-1"].model_dump(mode="json", exclude_none=True)
    row = change.pop("row", {})
    assert isinstance(row, dict)
    data["rows"][0].update(row)
    if change.pop("repeat", False):
        data["rows"].append(data["rows"][0])
    data.update(change)
    with pytest.raises(ValidationError, match=re.escape(message)):
        PublishedTable.model_validate_json(json.dumps(data))


# --- bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["4/4", "4/8", "2/4", "32/32", "16/16", "ter/ter", "-/-", "4/-", "8/32"])
def test_bits_survive_a_round_trip(text: str) -> None:
    assert str(Bits.parse(text)) == text


def test_bits_have_two_sides() -> None:
    assert Bits.parse("ter/-") == Bits("ternary", None)
    assert Bits.parse("2/4") == Bits(weight=2, activation=4)
    assert [text for text in ("32/32", "16/16", "32/8", "-/-") if Bits.parse(text).is_fp] == ["32/32"]


@pytest.mark.parametrize(
    "wrong",
    ["0/4", "4/1", "9/8", "15/15", "-4/4", "4.0/4", "04/4", "4", "4/4/4", "", " 4/4", "W4A4", "٤/٤", 4, None],
)
def test_wrong_bits_say_what_is_expected(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a quoted string 'W/A' such as '4/4'"):
        Bits.parse(wrong)


# --- claims of the papers that the tables decide ------------------------------------------------------------


def gain(table: str, to: str, start: str, quantity: Quantity = "AP") -> float:
    """Points by which one row is better than another."""
    found = [tables()[table].row(name).metrics[quantity] for name in (to, start)]
    return round(found[0] - found[1], 2)


def test_claims_in_the_text_of_hqod() -> None:
    assert gain("T-HQOD-2", "atss-r50-lsq-hqod-w4a4", "atss-r50-lsq-w4a4") == 0.6
    assert gain("T-HQOD-2", "atss-r50-lsq-hqod-w4a4", "atss-r50-fp") == 0.2
    assert gain("T-HQOD-2", "retinanet-r18-lsq-hqod-w4a4", "retinanet-r18-lsq-w4a4") == 1.1
    assert gain("T-HQOD-2", "retinanet-r18-lsq-hqod-w4a4", "retinanet-r18-fp") == 0.8
    assert gain("T-HQOD-2", "retinanet-r18-aqd-hqod-w4a4", "retinanet-r18-fp") == 1.4
    assert gain("T-HQOD-2", "retinanet-r18-aqd-hqod-w4a4", "retinanet-r18-syncbn-fp") == 1.1
    assert gain("T-HQOD-2", "retinanet-r50-lsq-hqod-w4a4", "retinanet-r50-lsq-w4a4") == 1.8
    assert gain("T-HQOD-2", "ssdlite-mbv2-lsq-hqod-w4a4", "ssdlite-mbv2-lsq-w4a4") == 0.2
    assert gain("T-HQOD-2", "yolox-tiny-lsq-hqod-w4a4", "yolox-tiny-lsq-w4a4") == 0.5
    assert gain("T-HQOD-3", "retinanet-r18-lsq-hqod-w2a2", "retinanet-r18-lsq-w2a2") == 1.4
    assert gain("T-HQOD-3", "retinanet-r18-aqd-hqod-w2a2", "retinanet-r18-aqd-w2a2") == 1.2
    assert gain("T-HQOD-3", "retinanet-r18-lsq-hardet-w2a2", "retinanet-r18-lsq-w2a2") == -0.5
    assert gain("T-HQOD-3", "atss-r50-tqt-hqod-w2a2", "atss-r50-tqt-w2a2", "AP50") == 0.8
    assert gain("T-HQOD-3", "atss-r50-tqt-hqod-w2a2", "atss-r50-tqt-w2a2", "AP75") == 1.7
    assert gain("T-HQOD-4", "lsq-tcorr", "lsq") == 0.6
    assert gain("T-HQOD-4", "lsq-tcorr-hiou", "lsq-tcorr") == 0.8


def test_average_gains_of_hqod_on_voc() -> None:
    for base, average in (("lsq", 0.75), ("aqd", 0.65)):
        gains = [gain("T-HQOD-1", f"{base}-hqod-{bits}", f"{base}-{bits}") for bits in ("w4a4", "w2a2")]
        assert sum(gains) / 2 == pytest.approx(average)


def test_the_introduction_of_hqod_contradicts_its_table() -> None:
    claimed = 1.4
    assert gain("T-HQOD-3", "atss-r50-tqt-hqod-w2a2", "atss-r50-tqt-w2a2") == 1.3 != claimed


def test_full_precision_rows_are_the_zoo() -> None:
    same = {
        "retinanet-r18-fp": "retinanet_r18_fpn_1x_coco",
        "retinanet-r50-fp": "retinanet_r50_fpn_2x_coco",
        "atss-r50-fp": "atss_r50_fpn_1x_coco",
        "ssdlite-mbv2-fp": "ssdlite_mobilenetv2-scratch_8xb24-600e_coco",
    }
    for row, config in same.items():
        zoo = tables()["T-ZOO"].row(config).metrics["AP"]
        assert tables()["T-HQOD-2"].row(row).metrics["AP"] == zoo, row
    assert tables()["T-DetPTQ-headline"].row("retinanet-r18-fp").metrics["AP"] == 31.7


def test_rows_that_two_tables_share_are_equal() -> None:
    for name in ("retinanet-r18-fp", "retinanet-r18-syncbn-fp", "atss-r50-fp"):
        assert tables()["T-HQOD-2"].row(name).metrics == tables()["T-HQOD-3"].row(name).metrics
    for ablation, table in (
        ("lsq", "retinanet-r18-lsq-w2a2"),
        ("lsq-tcorr-hiou", "retinanet-r18-lsq-hqod-w2a2"),
    ):
        assert tables()["T-HQOD-4"].row(ablation).metrics == tables()["T-HQOD-3"].row(table).metrics


# --- the reference document, row by row ---------------------------------------------------------------------


class Cell(NamedTuple):
    """What one published row must say; `method` as the document writes it, reduced by `plain`."""

    model: str
    bits: str
    metrics: dict[str, float]
    method: str = "FP"


Line = dict[str, str]
Reader = Callable[[Line], Iterator[Cell]]
QUANTITIES = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AP_segm", "PQ")


@pytest.fixture(scope="module")
def papers() -> str:
    if not PAPERS.is_file():
        pytest.skip("papers.md is not here (set QDET_SHARED to the folder that holds it)")
    return PAPERS.read_text(encoding="utf-8")


def markdown_table(text: str, table_id: str) -> list[Line]:
    """Rows of the table that follows a bold id, by column name."""
    after = text[text.index(f"**{table_id}**") :].splitlines()[1:]
    start = next(i for i, line in enumerate(after) if line.startswith("|"))
    lines = []
    for line in after[start:]:
        if not line.startswith("|"):
            break
        lines.append([cell.strip().strip("`") for cell in line.strip().strip("|").split("|")])
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def numbers(line: Line, columns: dict[str, str]) -> dict[str, float]:
    return {ours: float(line[theirs].split()[0]) for ours, theirs in columns.items()}


def one_to_one(line: Line) -> Iterator[Cell]:
    """Tables whose line is one row: model, method, bits and some of the usual columns."""
    usual = {"AP": ("mAP", "AP", "box AP"), "AP_segm": ("segm AP",)}
    columns = {k: next((n for n in usual.get(k, (k,)) if n in line), "") for k in QUANTITIES}
    name = next(cell for column, cell in line.items() if column.startswith(("model", "config name")))
    model = f"Deformable DETR {name}" if name.startswith("+") else name
    bits = line.get("W/A", "32/32")
    if "A/W" in line:
        bits = "/".join(reversed(line["A/W"].split("/")))
    metrics = numbers(line, {k: v for k, v in columns.items() if v})
    yield Cell(model, bits.replace(NONE, "-/-"), metrics, line.get("method", "FP"))


def wide(bits: str, method: str | None = None, skip: tuple[str, ...] = ()) -> Reader:
    """Tables with one column a method; `bits` is a column's name or the bits themselves."""

    def cells(line: Line) -> Iterator[Cell]:
        for column in (c for c in line if c not in ("model", bits, *skip) and line[c] != NONE):
            is_fp = column == "FP"
            width, name = ("32/32", "FP") if is_fp else (line.get(bits, bits), method or column)
            yield Cell(line["model"], width, {"AP": float(line[column])}, name)

    return cells


def qdrop(line: Line) -> Iterator[Cell]:
    for model in list(line)[1:]:
        method = "FP" if line["W/A"] == "32/32" else "QDrop"
        yield Cell(model, line["W/A"], {"AP": float(line[model])}, method)


def q2(line: Line) -> Iterator[Cell]:
    model, full = re.fullmatch(r"(\S+)(?: \(([\d.]+)\))?", line["model (FP)"]).groups()  # type: ignore[union-attr]
    if full:
        yield Cell(model, "32/32", {"mAP": float(full)})
    for bits in ("4/4", "3/3"):
        before, after = line[bits].split(" → ")
        yield Cell(model, bits, {"mAP": float(before)}, line["method"])
        yield Cell(model, bits, {"mAP": float(after)}, f"{line['method']}+Q²")


def zoo_voc(line: Line) -> Iterator[Cell]:
    yield Cell(line["config name"], "32/32", numbers(line, {"AP50": "VOC07 test AP50 (VOC metric)"}))


def fisher(line: Line) -> Iterator[Cell]:
    gained = numbers(line, {"AP_critical": "gain (mAP points)"})
    yield Cell(line["model"], f"{line['W bits']}/-", gained, "Fisher-aware")


def ablation(line: Line) -> Iterator[Cell]:
    added = [name for name in ("TCorr", "HIoU") if line[name] == "✓"]
    metrics = numbers(line, {"AP": "mAP", "AP50": "AP50", "AP75": "AP75"})
    yield Cell("RetinaNet-R18", "2/2", metrics, "+".join(["LSQ", *added]))


def plain(method: str, setting: str | None) -> str:
    """The method as the document's column has it, from ours: settings in words stand in the method there."""
    shown = {
        "Sync-BN": f"Sync-BN {method}",
        "2x checkpoint": f"{method} (2x)",
        "4 bases": f"{method}, 4 bases",
    }
    in_brackets = {"multi-level BN", "integer-only", "convs only"}
    return f"{method} ({setting})" if setting in in_brackets else shown.get(setting or "", method)


ONE_TO_ONE = (
    *("T-HQOD-1", "T-HQOD-2", "T-HQOD-3", "T-AQD-QTool", "T-AQD-paper", "T-DetPTQ-headline"),
    *("T-DETR-official", "T-DETR-panoptic", "T-DeformableDETR-official", "T-ZOO", "T-ZOO-v2-DETR"),
)
READERS: dict[str, Reader] = {
    **dict.fromkeys(ONE_TO_ONE, one_to_one),
    "T-HQOD-4": ablation,
    "T-QDrop-Det": qdrop,
    "T-RegPTQ": wide("W/A"),
    "T-mmrazor-PTQ": wide("8/8", "PTQ", ("backend",)),
    "T-ppq": wide("8/8", "PTQ"),
    "T-MQB-Det": wide("8/8", skip=("backend", "W obs / A obs", "fake-quant")),
    "T-Q2-VOC": q2,
    "T-Fisher-headline": fisher,
    "T-ZOO-VOC": zoo_voc,
}
READ_AS_TEXT = {"T-HarDet", "T-AQD-ablation"}


def test_every_detector_table_is_here(papers: str) -> None:
    ids = set(re.findall(r"\*\*(T-[\w-]+)\*\*", papers))
    others = {table.id for name in AFTER_TRAINING for table in published(name).tables} | {"T-ppq-mmdet"}
    assert set(tables()) == (ids - NOT_DETECTORS) | FROM_SENTENCES | others
    assert set(tables()) == set(READERS) | READ_AS_TEXT | FROM_SENTENCES | others


@pytest.mark.parametrize("name", [*AFTER_TRAINING, "ppq"])
def test_numbers_of_quantization_after_training_are_in_the_overview(name: str) -> None:
    overview = PAPERS.parent / "ptq.md"
    if not overview.is_file():
        pytest.skip(f"no {overview}")
    text = overview.read_text(encoding="utf-8")
    known = {float(number) for number in re.findall(r"\d*\.\d+", text)}
    for table in published(name).tables:
        for row in table.rows if name != "ppq" or table.id == "T-ppq-mmdet" else ():
            if table.id == "T-Hailo" and row.bits != Bits.parse("32/32") and row.model != "YOLOX-tiny":
                lost = table.row(f"{row.id.removesuffix('-int8')}-fp").metrics["AP"] - row.metrics["AP"]
                assert f"\N{MINUS SIGN}{lost:.1f}" in text, row.id
                continue
            assert all(value in known or round(value / 100, 4) in known for value in row.metrics.values()), row.id


@pytest.mark.parametrize("table_id", READERS)
def test_numbers_equal_the_reference_row_by_row(papers: str, table_id: str) -> None:
    expected: list[Cell] = []
    for line in markdown_table(papers, table_id):
        for cell in READERS[table_id](line):
            # A full-precision number is repeated on each line of its model; it is one row of ours.
            if cell.method != "FP" or cell not in expected or table_id in ONE_TO_ONE:
                expected.append(cell)
    ours = tables()[table_id].rows
    found = [
        Cell(r.model, str(r.bits), {str(k): v for k, v in r.metrics.items()}, plain(r.method, r.setting)) for r in ours
    ]
    assert found == expected


@pytest.mark.parametrize("table_id", ["T-ZOO", "T-ZOO-v2-DETR", "T-ZOO-VOC"])
def test_checkpoints_equal_the_reference(papers: str, table_id: str) -> None:
    expected = [(line["url"], line["sha256[:8]"]) for line in markdown_table(papers, table_id)]
    checkpoints = [row.checkpoint for row in tables()[table_id].rows]
    assert [(c.url, c.sha256_prefix) for c in checkpoints if c is not None] == expected


def test_settings_equal_the_reference(papers: str) -> None:
    flags = [line["flags"] for line in markdown_table(papers, "T-AQD-QTool")]
    assert [row.setting for row in tables()["T-AQD-QTool"].rows] == flags
    epochs = [f"{line['epochs']} epochs" for line in markdown_table(papers, "T-ZOO")]
    assert [row.setting for row in tables()["T-ZOO"].rows] == epochs
    files = [(line["file"], line["size"]) for line in markdown_table(papers, "T-DETR-official")]
    ours = [row.checkpoint for row in tables()["T-DETR-official"].rows]
    assert [(c.file, c.size or NONE) for c in ours if c is not None] == files


def sentence(text: str, start: str, end: str) -> list[float]:
    """Decimal numbers between two markers of the document, in order."""
    begin = text.index(start) + len(start)
    return [float(number) for number in re.findall(r"(?<![\w.])\d*\.\d+", text[begin : text.index(end, begin)])]


@pytest.mark.parametrize(
    ("table_id", "start", "end", "scale"),
    [
        ("T-HarDet", "baseline AP | HarDet AP |", "All full precision", 1),
        ("T-AQD-ablation", "normalisation in the head:", "\n", 1),
        ("T-MQB-UP", "United-Perception adds", "`application` readme", 1),
        ("T-MQB-yolov5s", "`application` readme", "\n", 100),
        ("T-Fisher-anonymous", "Earlier anonymous abstract", "Reviewer", 1),
    ],
)
def test_numbers_of_irregular_tables_equal_the_reference(
    papers: str, table_id: str, start: str, end: str, scale: int
) -> None:
    # Only here the order differs: the document writes before and after, we the row and then its reference.
    expected = sentence(papers.replace("40.7→42.7", "42.7←40.7"), start, end)
    ours = [value for row in tables()[table_id].rows for value in row.metrics.values()]
    assert ours == [round(number * scale, 1) for number in expected]
