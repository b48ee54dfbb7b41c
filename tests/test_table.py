"""`table`: what stands in it, and that each format reads back."""

import argparse
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from factories import job_of, located, measure_all, record, store_record, suite_data

from bench.cli import table as table_command
from bench.data.load import kind_of
from bench.errors import BenchError, UsageError
from bench.records.store import Store
from bench.report.make import make_table
from bench.report.render import markdown, render
from bench.report.wording import data_name, grouped
from bench.schema.data import CocoData, VocData
from bench.schema.load import Located
from bench.verdict.baseline import accept
from bench.verdict.gather import gather

NASTY = r"a|b \ `c` *d* _e_ <f> 50% & $x$ #1 {g} ~h^"


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    suite = located(tmp_path)
    measure_all(suite, fp=0.512345)
    return suite


def text_of(suite: Located, form: Any = "github", committed: bool = False) -> str:
    return render([make_table(suite, "mini", committed)], form, "qdet-bench table toy/table1")


def paper_of(text: str) -> list[dict[str, str]]:
    """The paper's numbers."""
    return rows_of(text[text.index("**What the paper prints") :])


def waiting_of(text: str) -> list[dict[str, str]]:
    """The rows that have not run."""
    return rows_of(text[text.index("<summary>Not run: ") :])


def rows_of(text: str) -> list[dict[str, str]]:
    """The first markdown table as a reader of GitHub sees it."""
    text = text[text.index("\n|") :].lstrip("\n")
    text = text[: text.index("\n\n")] if "\n\n" in text else text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[_shown(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def _shown(cell: str) -> str:
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell.strip()).replace("&amp;", "&")


def test_markdown_holds_measured_and_published_numbers(suite: Located) -> None:
    rows = rows_of(text_of(suite))
    assert [row["method"] for row in rows] == ["FP", "FP+ft", "LSQ"]
    fp, (hardet,) = rows[0], waiting_of(text_of(suite))
    assert (fp["W/A"], fp["AP"], fp["AP50"], fp["runs"]) == ("32/32", "51.23 †", "71.23 †", "1")
    assert (fp["state"], fp["baseline"]) == ("ok", "no baseline")
    printed = {row["method"]: row for row in paper_of(text_of(suite))}
    assert [*printed] == ["FP", "LSQ", "LSQ+HarDet*"]
    assert [printed["FP"][name] for name in ("AP", "AP50", "AP75")] == ["31.7", "49.6", "33.4"]
    assert printed["LSQ+HarDet*"]["AP"] == "28.8 (?)"
    assert hardet == {"method": "LSQ+HarDet*", "W/A": "2/2", "why": "no recipe was released"}
    assert "detector" not in fp


def test_answer_data_and_caution_stand_before_the_numbers(suite: Located) -> None:
    text = text_of(suite)
    before = text[: text.index("| method")]
    assert "Nothing is claimed here: this shows what was measured. All 3 planned runs are done." in before
    assert "Measured on Shapes-VOC (generated drawings, 64 px), tier mini; suite `toy/table1`." in before
    assert "**The paper's numbers are of COCO val2017: compare none of them with these" in before


def notes_of(suite: Located) -> str:
    table = make_table(suite, "mini", committed=False)
    return "\n".join([*table.notes, *table.provenance])


def test_notes(suite: Located) -> None:
    notes = notes_of(suite)
    for part in (
        "HQOD: Harmonious Quantization for Object Detection (ICME 2024), arXiv 2408.02561, Table III (T-HQOD-3)",
        "trust mark paper",
        "(?) LSQ+HarDet* 2/2: doubtful: AP50 43.1 is an OCR reading",
        "FP+ft 32/32: not in the paper",
        "fp 4 steps, 9 s",
        "Example CPU, cpu, torch 2.11.0",
        "kernels eager, threads 1",
        "commit aaaaaaaaaaaa, source",
        "test 9 boxes, 4 images; no problems",
    ):
        assert part in notes
    assert not re.search(r"\b(reproduced|refuted|confirmed)\b", notes)


def test_notes_name_rows_that_differ(suite: Located) -> None:
    job = job_of(suite, "lsq")
    origin = {"commit": "d" * 40, "dirty": True, "source": "b" * 64, "arguments": [], "asked_by": job.name}
    problems = {"pin": job.raw["data"]["pin"], "splits": {}, "problems": ["train: empty 3.xml: no object"]}
    store_record(suite, job, provenance=origin, data=problems)
    notes = notes_of(suite)
    assert "Run from trees with changes that were not committed, so no claim counts them: lsq 0." in notes
    assert "lsq: Code: commit dddddddddddd, with changes that were not committed" in notes
    assert "fp, fp-ft: Code: commit aaaaaaaaaaaa" in notes
    assert "problems found by the reader: train: empty 3.xml: no object" in notes


def test_states_of_rows_without_a_result(suite: Located) -> None:
    store = Store(suite.root)
    store.folder(job_of(suite, "fp-ft").identity).record_file.unlink()
    store_record(suite, job_of(suite, "lsq"), placement=None)
    _, lsq = rows_of(text_of(suite))
    ft, _ = waiting_of(text_of(suite))
    assert (ft["method"], ft["why"]) == ("FP+ft", "")
    assert lsq["state"].startswith("failed: placement") and lsq["AP"] == ""


def test_verdicts_against_the_baseline(suite: Located) -> None:
    accept(gather(suite, "mini"))
    store_record(suite, job_of(suite, "lsq"), 0.48)
    table = make_table(suite, "mini", committed=False)
    assert [row[-1] for row in table.rows] == ["holds", "holds", "regressed"]
    assert any("lsq seed 0: regressed: AP 48.00, baseline 50.00 (-2)" in note for note in table.notes)


def test_several_seeds(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["seeds"] = 3
    suite = located(tmp_path, data)
    measure_all(suite)
    row = rows_of(text_of(suite))[2]
    assert (row["AP"], row["runs"]) == ("51.00 ± 2.48", "3")
    runs = json.loads(text_of(suite, "json"))["tables"][0]["rows"][2]["runs"]
    assert [run["record"]["metrics"]["AP"] for run in runs] == [0.5, 0.51, 0.52]
    Store(tmp_path).folder(job_of(suite, "lsq", 1).identity).record_file.unlink()
    row = rows_of(text_of(suite))[2]
    assert (row["runs"], row["state"]) == ("2 of 3", "ok")
    store_record(suite, job_of(suite, "lsq", 2), placement=None)
    row = rows_of(text_of(suite))[2]
    assert row["runs"] == "1 of 3" and row["state"].startswith("1 of 3 ok; seed 2 failed: placement")


def test_times_of_a_rows_runs_are_one_range(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["seeds"] = 2
    suite = located(tmp_path, data)
    measure_all(suite)
    job = job_of(suite, "lsq", 1)
    cost = record(job).model_dump(mode="json")["cost"]
    cost["phases"]["train"]["wall_s"] = 19.6
    store_record(suite, job, cost=cost)
    notes = notes_of(suite)
    assert "; lsq 4 steps, 9 to 21 s in 2 runs." in notes


def test_committed_table_needs_no_local_record_and_stays_the_same(suite: Located) -> None:
    accept(gather(suite, "mini"))
    text = text_of(suite, committed=True)
    for folder in Store(suite.root).jobs.iterdir():
        (folder / "record.json").unlink()
    assert text_of(suite, committed=True) == text
    assert rows_of(text)[0]["AP"] == "51.23 †" and "baseline" not in rows_of(text)[0]


def test_committed_table_says_that_the_protocol_moved_on(suite: Located) -> None:
    accept(gather(suite, "mini"))
    data = suite_data()
    data["tiers"]["mini"]["calibration"] = {"images": 3}
    text = text_of(located(suite.root, data), committed=True)
    assert "Committed under an earlier protocol than the suite declares now: lsq." in text


def test_csv_reads_back(suite: Located) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(suite, "csv"))))
    assert [row["AP"] for row in rows] == ["51.2345", "50", "50", ""]
    assert [(row["row"], row["repetition"]) for row in rows] == [
        ("fp", "0"),
        ("fp-ft", "0"),
        ("lsq", "0"),
        ("hardet", ""),
    ]
    assert (rows[0]["environment"], rows[0]["dirty"], rows[3]["state"]) == (
        "e" * 16,
        "no",
        "not run: no recipe was released",
    )
    assert {row["data"] for row in rows} == {"Shapes-VOC (generated drawings, 64 px)"}
    assert rows[0]["suite"] == "toy/table1" and rows[0]["tier"] == "mini"


def test_json_holds_everything(suite: Located) -> None:
    table = json.loads(text_of(suite, "json"))["tables"][0]
    row = table["rows"][0]
    assert row["mean"]["AP"] == 0.512345 and row["n"] == 1
    assert row["runs"][0]["record"]["environment_key"] == "e" * 16
    assert row["published"]["metrics"] == {"AP": 31.7, "AP50": 49.6, "AP75": 33.4}
    assert table["published"]["trust"] == "paper" and table["notes"]
    assert [v["kind"] for v in row["verdicts"]] == ["baseline", "reference"]


@pytest.fixture
def nasty(tmp_path: Path) -> Located:
    data = suite_data(title=f"Title {NASTY}")
    data["rows"][0]["label"] = NASTY
    data["rows"][0]["note"] = f"first line\n| second | {NASTY}"
    suite = located(tmp_path, data)
    measure_all(suite)
    return suite


def test_markdown_is_escaped(nasty: Located) -> None:
    assert rows_of(text_of(nasty))[0]["method"] == NASTY
    assert len(rows_of(text_of(nasty))) == 3


def test_csv_and_json_keep_text(nasty: Located) -> None:
    assert next(csv.DictReader(io.StringIO(text_of(nasty, "csv"))))["method"] == NASTY
    assert json.loads(text_of(nasty, "json"))["tables"][0]["rows"][0]["label"] == NASTY


def test_latex_is_escaped(nasty: Located) -> None:
    text = text_of(nasty, "latex")
    body = text[text.index("\\midrule") : text.index("\\bottomrule")].splitlines()
    assert [len(re.split(r"(?<!\\)&", line)) for line in body[1:4]] == [8] * 3
    tex = (
        r"a|b \textbackslash{} `c` *d* \_e\_ \ensuremath{<}f\ensuremath{>} 50\% \& \$x\$ \#1 \{g\} "
        r"\textasciitilde{}h\^{}"
    )
    assert tex in body[1] and f"\\caption{{Title {tex}." in text
    assert text.startswith("% Generated by") and text.rstrip().endswith("\\end{table}")
    # Outside the header comment no percent sign may start a comment.
    assert not re.search(r"(?<!\\)%", text.split("\n", 1)[1])


def test_two_detectors_have_a_column(tmp_path: Path) -> None:
    data = suite_data()
    data["rows"][3]["detector"] = "ssdlite"
    rows = rows_of(text_of(located(tmp_path, data)))
    assert [row["detector"] for row in rows] == ["retinanet-r18"] * 3 + ["ssdlite"]


def test_voc_metric_has_its_own_column(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["metric"] = {"variant": "voc07"}
    suite = located(tmp_path, data)
    store_record(suite, job_of(suite, "fp"), metrics={"mAP": 0.7})
    table = make_table(suite, "mini", committed=False)
    assert rows_of(text_of(suite))[0]["mAP"] == "70.00 †"
    assert "VOC mAP at 11 recall levels, IoU 0.5, inclusive pixels" in table.notes[0]


def test_suite_without_published_numbers(tmp_path: Path) -> None:
    data = suite_data(published=None)
    data["rows"] = data["rows"][:2]
    data["tiers"]["mini"].pop("calibration")
    data["policies"] = {}
    data["rows"][0].pop("published")
    text = text_of(located(tmp_path, data))
    assert "What the paper prints" not in text
    assert "Measured on Shapes-VOC (generated drawings, 64 px), tier mini; suite" in text


def test_published_numbers_elsewhere(suite: Located, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.schema.publications.shipped", lambda name: suite.root / "nowhere" / name)
    (suite.root / "baselines" / "published" / "hqod.yaml").unlink()
    table = make_table(suite, "mini", committed=False)
    assert table.paper is None
    assert "The paper's numbers, T-HQOD-3 of hqod.yaml, are not below this root." in table.notes


@pytest.mark.parametrize("form", ["github", "latex", "csv", "json"])
def test_command_writes_a_file(suite: Located, capsys: pytest.CaptureFixture[str], form: str) -> None:
    options: dict[str, Any] = {"root": suite.root, "suites": [suite.name], "tier": "mini", "format": form}
    args = argparse.Namespace(**options, committed=False, output=None, core=False, paper=False, columns=[], json=False)
    assert table_command.run(args) == 0
    shown = capsys.readouterr().out
    args.output = suite.root / "out" / "table.txt"
    assert table_command.run(args) == 0
    assert args.output.read_text() == shown
    if form == "github":
        assert shown.startswith("<!-- Generated by `qdet-bench table toy/table1 --tier mini`; do not edit. -->\n")
    args.output = suite.root / "suites" / "toy" / "table1.yaml" / "table.txt"
    with pytest.raises(BenchError, match="cannot be written"):
        table_command.run(args)


@pytest.mark.parametrize(
    ("path", "name"),
    [("${ROOT:-..}/data/bccd", "bccd"), ("/x/mine/", "mine"), ("${ROOT:-a/b}", "${ROOT:-a/b}"), (".", ".")],
)
def test_data_are_named_by_their_folder(path: str, name: str) -> None:
    data = VocData(kind="voc", path=path, train=("train",), test=("test", "extra"), difficult="crowd")
    assert kind_of(data, Path()).title == f"{name} (VOC form): test, extra"


@pytest.mark.parametrize(
    ("annotations", "images", "name"),
    [
        ("annotations/instances_val2017.json", "val2017", "coco (COCO form): val2017"),
        ("coco_free/instances.json", "coco_free/images", "coco_free (COCO form)"),
        ("val.json", "images", "coco (COCO form): val"),
        ("val.json", ".", "coco (COCO form): val"),
    ],
)
def test_coco_files_are_named_by_what_tells_them_apart(annotations: str, images: str, name: str) -> None:
    split = {"annotations": annotations, "images": images}
    data = CocoData.model_validate({"kind": "coco", "path": "x/coco", "train": split, "test": split})
    assert kind_of(data, Path()).title == name


def test_a_tier_may_name_its_data_but_not_drawings(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["data_title"] = "Photos of our line 3"
    with pytest.raises(UsageError, match=r"table1\.yaml:.*generated drawings are always called so"):
        located(tmp_path, data)
    data["tiers"]["mini"]["data"] = {"kind": "yolo", "path": "photos"}
    spec = located(tmp_path, data).tier("mini")
    assert data_name(spec) == "Photos of our line 3"
    assert data_name(spec.model_copy(update={"data_title": None})) == "photos (YOLO form): val"


def test_markdown_keeps_code_and_words_with_underscores() -> None:
    assert markdown("run `python -m x_y`, gap_share, _so_, a|b") == r"run `python -m x_y`, gap_share, \_so\_, a\|b"
    assert markdown("`a|b`") == r"\`a\|b\`", "a bar within code would end the cell"


def test_a_text_that_is_true_of_most_rows_names_the_others() -> None:
    pairs = [(row, "new") for row in "abcd"] + [("e", "old")]
    assert grouped(pairs, 5) == ["All rows but e: new", "e: old"]
    assert grouped(pairs, 6) == ["a, b, c, d: new", "e: old"]


def test_a_row_of_several_runs_has_a_line_a_run_in_csv(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["seeds"] = 2
    suite = located(tmp_path, data)
    measure_all(suite)
    Store(tmp_path).folder(job_of(suite, "lsq", 1).identity).record_file.unlink()
    rows = [row for row in csv.DictReader(io.StringIO(text_of(suite, "csv"))) if row["row"] == "lsq"]
    assert [(row["repetition"], row["AP"], row["state"]) for row in rows] == [("0", "50", "ok"), ("1", "", "absent")]


def test_long_provenance_is_folded_away(suite: Located) -> None:
    text = text_of(suite)
    folded = text[text.index("<summary>Where these numbers come from") :]
    assert "Environment eeeeeeeeeeeeeeee" in folded and "commit aaaaaaaaaaaa" in folded and "arXiv 2408.02561" in folded
    assert "Environment eeee" not in text[: text.index("<details>")] and "FP+ft 32/32: not in the paper" not in folded


def test_latex_for_a_manuscript(suite: Located, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.cli.main import main

    command = ["--root", str(suite.root), "table", suite.name]
    assert main([*command, "--format", "latex", "--paper", "--columns", "method", "AP"]) == 0
    text = capsys.readouterr().out
    assert "\\label{tab:toy-table1-mini}" in text and "\\toprule" in text and "footnotesize" not in text
    assert " method " in text and "AP50" not in text and "51.23 \\dag{}" in text
    assert "--format latex --paper --columns method AP`" in text.splitlines()[0]
    for wrong, words in (
        (["--format", "latex", "--paper", "--columns", "nil"], "--columns nil: the table has method, W/A, AP"),
        (["--paper"], "--paper belongs to --format latex, found github"),
        (["--format", "json", "--columns", "AP"], "--columns: JSON has everything"),
    ):
        assert main([*command, *wrong]) == 2
        assert words in capsys.readouterr().err
