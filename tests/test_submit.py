"""`submit`: predictions computed elsewhere, and what tables, verdicts, baselines and `run` make of them."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SUITE, edited, make_root
from factories import NAME, job_of, located, store_record, suite_data

from bench.cli.main import main
from bench.data.load import load
from bench.errors import BenchError, UsageError
from bench.evaluation import exact
from bench.evaluation.boxes import Detections
from bench.evaluation.files import parse_detections
from bench.evaluation.spelling import Dialect, Known
from bench.external.protocol import scoring_protocol
from bench.external.store import ExternalStore
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.run.scheduler import record_of
from bench.schema.load import Located, load_suite
from bench.verdict.gather import gather

ROW, RUN_ROW = "lsq-hqod-w4a4", "fp"
SMOKE = ("--tier", "smoke")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` puts the root on the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the smoke data, generated once."""
    root = make_root(tmp_path_factory.mktemp("submit") / "root")
    ground_truth(load_suite(SUITE, root), "smoke")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "root"))


def ground_truth(suite: Located, tier: Any) -> dict[str, list[dict[str, Any]]]:
    spec = suite.suite.tiers[tier].data
    return load(spec, "test", suite.root, Store(suite.root).data_cache).coco


def perfect(suite: Located, tier: Any = "smoke") -> list[dict[str, Any]]:
    """Each object of the ground truth, found."""
    found = ground_truth(suite, tier)["annotations"]
    return [{key: a[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9} for a in found]


def write(root: Path, value: Any, name: str = "dt.json") -> Path:
    file = root / name
    file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return file


def call(root: Path, capsys: Capture, *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["--root", str(root), *arguments]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def submit(root: Path, capsys: Capture, value: Any = None, row: str = ROW, *more: str, tier: str = "smoke") -> Any:
    suite = load_suite(SUITE, root)
    file = write(root, perfect(suite) if value is None else value)
    return json.loads(call(root, capsys, "submit", SUITE, row, "--tier", tier, "--dt", str(file), "--json", *more))


def lines(root: Path, capsys: Capture) -> list[dict[str, str]]:
    """The lines of the table."""
    text = call(root, capsys, "table", SUITE, *SMOKE, "--format", "csv").splitlines()
    return list(csv.DictReader(text))


def printed(root: Path, capsys: Capture) -> dict[str, dict[str, str]]:
    """The lines of the Markdown table, by method; of several of one name the last."""
    grid = []
    for line in call(root, capsys, "table", SUITE, *SMOKE).splitlines():
        if line.startswith("|"):
            grid.append([cell.strip() for cell in line.split("|")[1:-1]])
        elif grid:
            break
    return {cells[0]: dict(zip(grid[0], cells, strict=True)) for cells in grid[2:]}


def notes(root: Path, capsys: Capture) -> str:
    found = json.loads(call(root, capsys, "table", SUITE, *SMOKE, "--format", "json"))
    return "\n".join(found["tables"][0]["notes"])


def verdicts(root: Path, capsys: Capture, code: int = 3, kind: str = "external") -> list[dict[str, Any]]:
    found = json.loads(call(root, capsys, "check", SUITE, *SMOKE, "--json", code=code))
    return [v for v in found["suites"][0]["verdicts"] if v["kind"] == kind]


def test_perfect_predictions_give_ap_1(root: Path, capsys: Capture) -> None:
    said = submit(root, capsys, None, ROW, "--seed", "2", "--note", "our  code,\n v1")
    assert (said["metrics"]["AP"], said["warnings"]) == (1.0, [])
    store = ExternalStore(root, SUITE, "smoke")
    assert said["path"] == str(store.record_file(ROW, 2))
    record = store.load(ROW, 2)
    assert record.kind == "external"
    assert record.submitted.sha256 == hashlib.sha256((root / "dt.json").read_bytes()).hexdigest()
    assert (record.submitted.file, record.submitted.note) == ("dt.json", "our code, v1")
    assert "torch" not in record.environment["packages"] and "pycocotools" in record.environment["packages"]
    kept = exact.load(store.predictions_file(ROW, 2, record.predictions.digest))
    assert (exact.digest(kept), len(kept)) == (record.predictions.digest, record.predictions.count)
    assert record.scorer == f"hotcoco {record.environment['packages']['hotcoco']}"


def test_scored_as_a_job_is(root: Path) -> None:
    suite = load_suite(SUITE, root)
    job = plan(suite, "smoke")[0].raw
    scoring = scoring_protocol(suite, "smoke").raw("a digest")
    assert (scoring["data"], scoring["metric"]) == (job["data"], job["metric"])
    assert scoring["versions"].items() <= job["versions"].items()


def test_kept_as_it_was_handed_in(root: Path, capsys: Capture) -> None:
    found = perfect(load_suite(SUITE, root))
    for detection in found:
        detection["bbox"], detection["score"] = [number + 1 / 41 for number in detection["bbox"]], 0.1 + 1e-15
    digest = submit(root, capsys, found)["predictions"]["digest"]
    kept = exact.load(ExternalStore(root, SUITE, "smoke").predictions_file(ROW, 0, digest))
    assert kept.box.tolist() == [d["bbox"] for d in found] and set(kept.score.tolist()) == {0.1 + 1e-15}


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_kept_detections_that_were_damaged(tmp_path: Path, content: bytes) -> None:
    exact.save(Detections.of([RIGHT]), tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    for damaged in (content, whole[:-30], whole.replace(b"score.npy", b"scare.npy")):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(BenchError, match=r"a\.npz: "):
            exact.load(tmp_path / "a.npz")


@pytest.mark.parametrize("short", [False, True])
def test_by_file_and_category_name(root: Path, capsys: Capture, short: bool) -> None:
    gt = ground_truth(load_suite(SUITE, root), "smoke")
    files = {image["id"]: image["file_name"] for image in gt["images"]}
    names = {category["id"]: category["name"] for category in gt["categories"]}
    found = perfect(load_suite(SUITE, root))
    ids = submit(root, capsys, found)["predictions"]["digest"]
    for d in found:
        file = files[d.pop("image_id")]
        d["file_name"] = Path(file).name if short else file
        d["category_name"] = names[d.pop("category_id")]
    assert submit(root, capsys, found, ROW, "--replace")["predictions"]["digest"] == ids


def test_table_shows_what_was_computed_elsewhere(root: Path, capsys: Capture) -> None:
    digest = submit(root, capsys, None, ROW, "--note", "our code")["submitted"]["sha256"]
    (row,) = [line for line in lines(root, capsys) if line["state"].startswith("external")]
    assert (row["method"], row["W/A"], float(row["AP"])) == ("LSQ+HQOD", "4/4", 100.0)
    shown = printed(root, capsys)["LSQ+HQOD (external)"]
    assert (shown["AP"], shown["runs"], shown["baseline"]) == ("100.00", "1", "")
    assert shown["state"] == "external"
    said = notes(root, capsys)
    assert f"predictions computed elsewhere, file dt.json, sha256 {digest[:12]}…" in said and "our code" in said
    assert "Training steps" not in said


def test_a_measured_row_keeps_its_line(root: Path, capsys: Capture) -> None:
    suite = load_suite(SUITE, root)
    store_record(suite, job_of(suite, RUN_ROW, tier="smoke"), 0.5)
    submit(root, capsys, None, RUN_ROW)
    measured, external, *others = lines(root, capsys)
    assert (measured["method"], float(measured["AP"]), measured["state"]) == ("FP", 50.0, "ok")
    assert (external["method"], float(external["AP"]), external["state"]) == ("FP", 100.0, "external")
    shown = printed(root, capsys)
    assert shown["FP"]["baseline"] == "no baseline" and shown["FP (external)"]["baseline"] == ""
    assert len(others) == len(suite.suite.rows) - 1
    content = json.loads(call(root, capsys, "table", SUITE, *SMOKE, "--format", "json"))["tables"][0]["rows"][0]
    assert (content["n"], content["mean"]["AP"]) == (1, 0.5)
    assert (content["external"]["n"], content["external"]["mean"]["AP"]) == (1, 1.0)
    assert content["external"]["runs"][0]["record"]["kind"] == "external"


def test_check(root: Path, capsys: Capture) -> None:
    submit(root, capsys)
    submit(root, capsys, None, RUN_ROW)
    found = verdicts(root, capsys)
    assert [(v["row"], v["status"], v["tainted"]) for v in found] == [
        (row, "external", "predictions computed elsewhere") for row in (RUN_ROW, ROW)
    ]
    assert found[0]["message"].startswith("AP 100.00, file dt.json, sha256 ")
    # The row itself is absent all the same, and only a gate lets that pass.
    assert [v["status"] for v in verdicts(root, capsys, kind="result")][:3] == ["absent"] * 3
    text = call(root, capsys, "check", SUITE, *SMOKE, "--gate", "--allow-uncompared")
    assert "external, tainted: predictions computed elsewhere" in text and "2 external" in text


def test_run_does_not_take_it_for_done(root: Path, capsys: Capture) -> None:
    submit(root, capsys, None, RUN_ROW)
    said = call(root, capsys, "run", SUITE, *SMOKE, "--dry-run")
    assert [line.split()[0] for line in said.splitlines()] == ["missing"] * 3
    counts = json.loads(call(root, capsys, "plan", SUITE, *SMOKE, "--json"))["counts"]
    assert (counts["missing"], counts["done"]) == (3, 0)
    # So a row that starts from it waits for a checkpoint of its own.
    child = job_of(load_suite(SUITE, root), "fp-ft-w4a4", tier="smoke")
    assert child.start is not None and record_of(child.start, Store(root)) is None


def test_accept_never_takes_it(root: Path, capsys: Capture) -> None:
    submit(root, capsys, None, RUN_ROW)
    submit(root, capsys)
    never = "predictions computed elsewhere have a baseline of their own"
    for rows, code in (([], 1), (["--rows", ROW], 2)):
        assert main(["--root", str(root), "accept", SUITE, *SMOKE, *rows]) == code
        assert never in capsys.readouterr().err
    assert not (root / "baselines" / f"{SUITE}.smoke.json").exists()
    suite = load_suite(SUITE, root)
    store_record(suite, job_of(suite, RUN_ROW, tier="smoke"), 0.5)
    assert main(["--root", str(root), "accept", SUITE, *SMOKE, "--rows", RUN_ROW]) == 0
    assert f"not accepted: external {RUN_ROW} seed 0, {ROW} seed 0: {never}" in capsys.readouterr().err
    text = (root / "baselines" / f"{SUITE}.smoke.json").read_text()
    assert "external" not in text and '"AP": 0.5' in text
    committed = call(root, capsys, "table", SUITE, *SMOKE, "--committed")
    assert "external" not in committed


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("data", {"images": {"train": 16, "test": 9}}, "data.pin"),
        ("metric", {"variant": "voc12"}, "metric.variant coco -> voc12"),
    ],
)
def test_stale_is_said_and_left_out(root: Path, capsys: Capture, part: str, value: dict[str, Any], why: str) -> None:
    submit(root, capsys)
    with edited(root / "suites" / f"{SUITE}.yaml") as suite:
        tier = suite["tiers"]["smoke"]
        tier[part] = tier["data"] | value if part == "data" else value
    (verdict,) = verdicts(root, capsys)
    assert verdict["status"] == "stale" and why in verdict["message"] and "--replace" in verdict["message"]
    assert not any("external" in line["method"] for line in lines(root, capsys))
    assert f"{ROW} seed 0 is left out: stale: " in notes(root, capsys)


def test_a_changed_record_fails(root: Path, capsys: Capture) -> None:
    file = Path(submit(root, capsys)["path"])
    whole = file.read_text()
    for text in (
        "{",
        whole.replace('"AP": 1.0', '"AP": NaN', 1),
        whole.replace(f"{ROW} smoke", "fp smoke"),
        whole.replace('"area_side": 64', '"area_side": 65'),
        whole.replace('"kind": "external"', '"kind": "measured"'),
    ):
        assert text != whole
        file.write_text(text)
        (verdict,) = verdicts(root, capsys, code=1)
        assert verdict["status"] == "fails" and str(file) in verdict["message"]
        assert not any("external" in line["method"] for line in lines(root, capsys))


def test_absent_data_block_it(tmp_path: Path) -> None:
    suite = located(tmp_path)
    dt = write(tmp_path, perfect(suite, "mini"))
    assert main(["--root", str(tmp_path), "submit", NAME, "hardet", "--dt", str(dt)]) == 0
    data = suite_data()
    voc = {"kind": "voc", "path": "gone", "train": ["a"], "test": ["b"], "difficult": "crowd"}
    data["tiers"]["mini"]["data"] = voc
    (external,) = gather(located(tmp_path, data), "mini").rows[3].external
    assert (external.state, external.record) == ("blocked", None) and "gone" in (external.reason or "")
    assert main(["--root", str(tmp_path), "submit", NAME, "hardet", "--dt", str(dt), "--seed", "1"]) == 1


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"variant": "coco", "area_side": 64}, "one run has no interval over seeds"),
        ({"variant": "voc12"}, "not compared: metric voc12, published coco"),
    ],
)
def test_references_at_tier_paper(tmp_path: Path, capsys: Capture, metric: dict[str, Any], words: str) -> None:
    data = suite_data()
    data["rows"][2].pop("pins")
    data["tiers"] = {"paper": data["tiers"]["mini"] | {"metric": metric}}
    suite = located(tmp_path, data)
    dt = write(tmp_path, perfect(suite, "paper"))
    for row in ("lsq", "hardet"):
        call(tmp_path, capsys, "submit", NAME, row, "--tier", "paper", "--dt", str(dt))
    said = json.loads(call(tmp_path, capsys, "check", NAME, "--tier", "paper", "--json", code=3))
    found = {v["row"]: v for v in said["suites"][0]["verdicts"] if v["kind"] == "reference"}
    assert found["fp"]["status"] == "not run" and found["fp"]["tainted"] is None
    for row in ("lsq", "hardet"):
        assert (found[row]["status"], found[row]["tainted"]) == ("inconclusive", "predictions computed elsewhere")
    assert words in found["lsq"]["message"]
    text = call(tmp_path, capsys, "check", NAME, "--tier", "paper", code=3)
    assert "paper: inconclusive, tainted: predictions computed elsewhere" in text


def test_an_existing_record_is_replaced_only_when_asked(root: Path, capsys: Capture) -> None:
    submit(root, capsys)
    folder = ExternalStore(root, SUITE, "smoke").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    file = write(root, perfect(load_suite(SUITE, root))[:3])
    command = ["--root", str(root), "submit", SUITE, ROW, *SMOKE, "--dt", str(file)]
    assert main(command) == 2
    assert "--replace" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert main([*command, "--replace"]) == 0
    assert len(list(folder.iterdir())) == 2 and ExternalStore(root, SUITE, "smoke").load(ROW, 0).metrics["AP"] < 1
    assert "have no detection" in capsys.readouterr().err


def test_a_full_disk_leaves_the_earlier_one(root: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(root, capsys)
    folder = ExternalStore(root, SUITE, "smoke").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path: Path, value: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.external.store.write_json", full)
    file = write(root, [])
    assert main(["--root", str(root), "submit", SUITE, ROW, *SMOKE, "--dt", str(file), "--replace"]) == 1
    assert "cannot be written: No space left" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_no_detection_is_ap_0_with_a_warning(root: Path, capsys: Capture) -> None:
    said = submit(root, capsys, [])
    assert said["metrics"]["AP"] == 0 and "lists no detection" in said["warnings"][0]


def test_a_name_that_stands_for_two_needs_the_id(tmp_path: Path) -> None:
    gt = {
        "images": [{"id": 1, "file_name": "a/x.png"}, {"id": 2, "file_name": "b/x.png"}, {"id": 3, "file_name": "x"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}],
    }
    box = {"bbox": [1, 2, 3, 4], "score": 0.5}

    def resolved(**names: Any) -> dict[str, Any]:
        data = json.dumps([names | box]).encode()
        found = parse_detections(tmp_path / "dt.json", data, Known(gt, "the split"), Dialect()).detections
        return {"image_id": found.image[0], "category_id": found.category[0]}

    assert resolved(file_name="b/x.png", category_id=2) == {"image_id": 2, "category_id": 2}
    assert resolved(file_name="x", category_id=2.0)["image_id"] == 3
    with pytest.raises(UsageError, match=r"file_name 'x.png' stands for 2 in the split; give the image_id"):
        resolved(file_name="x.png", category_id=1)
    with pytest.raises(UsageError, match=r"category_name 'cat' stands for 2"):
        resolved(image_id=1, category_name="cat")


RIGHT = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
UNNAMED = {key: RIGHT[key] for key in ("category_id", "bbox", "score")}
FILE = "JPEGImages/test_000001.png"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("", "is empty"),
        ("[{", "not JSON: "),
        ({"annotations": []}, "must be a list of objects with image_id or file_name"),
        ([RIGHT, 3], "detection 1: is the number 3, not an object"),
        ([RIGHT, RIGHT | {"image_id": 99}], "detection 1: image_id 99 is not in the test split of hqod/table1"),
        ([RIGHT | {"category_id": 0}], "detection 0: category_id 0 is not in the test split"),
        ([RIGHT | {"image_id": "1"}], "image_id '1' is not in the test split"),
        ([RIGHT | {"image_id": None}], "image_id must be a number, not null"),
        ([UNNAMED], "has neither image_id nor file_name"),
        ([UNNAMED | {"file_name": "cat.png"}], "file_name 'cat.png' is not in the test split"),
        ([UNNAMED | {"file_name": 7}], "file_name must be a string"),
        ([RIGHT | {"file_name": FILE}], "image_id 1 is 'JPEGImages/test_000000.png', its file_name says otherwise"),
        ([RIGHT | {"category_name": "cat"}], "category_name 'cat' is not in the test split"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": NaN}]', "holds NaN"),
        ([RIGHT | {"score": None}], "score must be a number, not null"),
        ([RIGHT | {"bbox": [1, 2, -3, 4]}], "bbox has a negative width"),
        ([RIGHT | {"bbox": [1, 2, 3]}], "bbox must be a list of four numbers"),
    ],
)
def test_wrong_detections(root: Path, capsys: Capture, content: Any, words: str) -> None:
    file = root / "dt.json"
    if content is not None:
        write(root, content)
    assert main(["--root", str(root), "submit", SUITE, ROW, *SMOKE, "--dt", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"qdet-bench: {file}: ") and words in said.err
    assert said.err.count("\n") == 1 and not (root / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hqod/tabel1", ROW, *SMOKE], "did you mean 'hqod/table1'?"),
        ([SUITE, "cat", *SMOKE], "hqod/table1 has no row 'cat'; it has fp, fp-ft-w4a4"),
        (["detectors/quantized", ROW, "--tier", "mini"], "there is no tier 'mini'"),
        ([SUITE, ROW, *SMOKE, "--seed", "-1"], "--seed -1: must be from 0"),
        ([SUITE, ROW, *SMOKE, "--seed", "9" * 400], "must be from 0"),
    ],
)
def test_wrong_usage(root: Path, capsys: Capture, arguments: list[str], words: str) -> None:
    file = write(root, [RIGHT])
    assert main(["--root", str(root), "submit", *arguments, "--dt", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and words in said.err and said.err.count("\n") == 1
    assert not (root / "results").exists()


def test_never_imports_torch(root: Path) -> None:
    file = write(root, perfect(load_suite(SUITE, root)))
    arguments = ["--root", str(root), "submit", SUITE, ROW, *SMOKE, "--dt", str(file)]
    program = (
        f"import sys; from bench.cli.main import main; assert main({arguments}) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
