"""`compare`: of detection files and of records, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import NAME, job_of, located, store_record, suite_data
from resampling import scene

from bench.cli.main import main
from bench.data.load import load
from bench.evaluation.coco import METRICS, score_coco
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.evaluation.voc import score_voc
from bench.plan.jobs import Job
from bench.records.store import Store
from bench.schema.load import Located


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Ground truth, A and B."""
    paths = [tmp_path / name for name in ("gt.json", "a.json", "b.json")]
    for path, content in zip(paths, scene(4, images=40, tied=False), strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


Capture = pytest.CaptureFixture[str]


def said(capsys: Capture, *arguments: str, code: int = 0) -> Any:
    assert main(["compare", *arguments]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if "--json" in arguments and not code else (out if not code else err)


def test_differences_are_those_of_the_scorer(files: list[str], capsys: Capture) -> None:
    gt, a, b = (json.loads(Path(path).read_text()) for path in files)
    one, two = score_coco(gt, a), score_coco(gt, b)
    found = said(capsys, *files[1:], "--gt", files[0], "--replicates", "200", "--min-images", "2", "--json")
    assert tuple(found["metrics"]) and set(found["metrics"]) == set(METRICS)
    for name, value in found["metrics"].items():
        assert value["difference"] == pytest.approx(two.metrics[name] - one.metrics[name], abs=1e-9)
        low, high = value["interval"]
        assert low <= high and value["error"] > 0
    assert found["metrics"]["AP"]["interval"][1] < 0  # B's boxes lie worse, by far
    absent = found["per_category"]["c3"]
    assert absent["difference"] is None and absent["interval"] is None and absent["p_holm"] is None
    for name in ("c0", "c1", "c2"):
        expected = two.per_category[name]["AP"] - one.per_category[name]["AP"]
        assert found["per_category"][name]["difference"] == pytest.approx(expected, abs=1e-9)
        assert 0 <= found["per_category"][name]["p_holm"] <= 1
    assert (found["images"], found["replicates"], found["seed"]) == (40, 200, 0)
    assert "condition on these two sets of predictions" in found["conditions"]
    assert "40 images are few" in found["conditions"]


def test_an_empty_side_is_said_to_be_empty(files: list[str], capsys: Capture) -> None:
    """A gate passes whatever follows a file that lists nothing."""
    Path(files[1]).write_text("[]")
    assert main(["compare", *files[1:], "--gt", files[0], "--fail-below", "AP=-1", "--replicates", "100"]) == 0
    assert f"{files[1]}: lists no detection that counts" in capsys.readouterr().err


def test_sides_swap_and_seeds_repeat(files: list[str], capsys: Capture) -> None:
    options = ("--gt", files[0], "--replicates", "100", "--json")
    forth, again = (said(capsys, files[1], files[2], *options) for _ in range(2))
    back = said(capsys, files[2], files[1], *options)
    other = said(capsys, files[1], files[2], *options, "--seed", "1", "--jobs", "2")
    assert forth == again
    low, high = forth["metrics"]["AP"]["interval"]
    assert back["metrics"]["AP"]["interval"] == pytest.approx([-high, -low], abs=1e-12)
    assert other["metrics"]["AP"]["interval"] != [low, high]
    assert other["metrics"]["AP"]["difference"] == forth["metrics"]["AP"]["difference"]


def test_a_file_with_itself_has_no_difference(files: list[str], capsys: Capture) -> None:
    few = ("--min-images", "2", "--replicates", "100")
    found = said(capsys, files[1], files[1], "--gt", files[0], *few, "--json")
    assert found["metrics"]["AP"]["interval"] == [0, 0]
    assert found["per_category"]["c0"]["p_holm"] == 1


def test_voc_metrics(files: list[str], capsys: Capture) -> None:
    gt, a, b = (json.loads(Path(path).read_text()) for path in files)
    one, two = (score_voc(gt, side, variant="voc12", iou=0.6) for side in (a, b))
    found = said(capsys, files[1], files[2], "--gt", files[0], "--metric", "voc12", "--iou", "0.6", "--json")
    expected = two.metrics["mAP"] - one.metrics["mAP"]
    assert found["metrics"]["mAP"]["difference"] == pytest.approx(expected, abs=1e-12)
    assert found["metric"]["variant"] == "voc12"


def test_text_names_sides_replicates_and_conditions(files: list[str], capsys: Capture) -> None:
    text = said(capsys, files[1], files[2], "--gt", files[0], "--replicates", "150", "--seed", "3", "--min-images", "2")
    for part in (f"A: {files[1]}", "B - A", "150 replicates, seed 3", "corrected by Holm over 3 categories", "AP_S"):
        assert part in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--replicates", "99"], "--replicates 99: must be from 100 to"),
        (["--jobs", "0"], "--jobs 0: must be from 1"),
        (["--seed", "-1"], "--seed -1: must be from 0"),
        (["--iou", "0.6"], "--iou belongs to --metric voc07 and voc12"),
        (["--metric", "voc07", "--iou", "2"], "--iou 2: must lie above 0"),
    ],
)
def test_wrong_usage(files: list[str], capsys: Capture, options: list[str], words: str) -> None:
    assert words in said(capsys, files[1], files[2], "--gt", files[0], *options, code=2)


def measure(suite: Located, job: Job, noise: float) -> None:
    """Leave predictions near the objects, and the record that follows from them."""
    store, spec = Store(suite.root), suite.suite.tiers[job.tier]
    gt = load(spec.data, "test", suite.root, store.data_cache).coco
    rng = np.random.default_rng(int(100 * noise))
    found = Predictions.from_coco([
        {**a, "bbox": np.abs(np.array(a["bbox"]) + rng.normal(0, noise, 4)).tolist(), "score": rng.random()}
        for a in gt["annotations"]
    ])  # fmt: skip
    scores = metric_of(spec.metric).score(gt, found.to_coco())
    folder = store.folder(job.identity)
    folder.path.mkdir(parents=True, exist_ok=True)
    found.save(folder.predictions)
    predictions = {"digest": found.digest(), "count": len(found)}
    store_record(suite, job, metrics=scores.metrics, predictions=predictions)


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    suite = located(tmp_path)
    measure(suite, job_of(suite, "fp"), 0.5)
    measure(suite, job_of(suite, "lsq"), 2.0)
    return suite


def of_records(capsys: Capture, suite: Located, *arguments: str, code: int = 0) -> Any:
    assert main(["--root", str(suite.root), "compare", *arguments, "--replicates", "100"]) == code
    out, err = capsys.readouterr()
    return err if code else json.loads(out) if "--json" in arguments else out


def test_records_by_row_and_by_identity(suite: Located, capsys: Capture) -> None:
    by_row = of_records(capsys, suite, f"{NAME}:fp", f"{NAME}:lsq:0", "--json")
    identities = [job_of(suite, row).identity[:9] for row in ("fp", "lsq")]
    assert by_row == of_records(capsys, suite, *identities, "--json")
    fp, lsq = (Store(suite.root).folder(job_of(suite, row).identity).record() for row in ("fp", "lsq"))
    assert fp is not None and lsq is not None
    expected = lsq.metrics["AP"] - fp.metrics["AP"]
    assert by_row["metrics"]["AP"]["difference"] == pytest.approx(expected, abs=1e-9)
    assert by_row["metric"]["area_side"] == 64 and by_row["a"] == f"{NAME} fp mini seed 0"
    assert "ranges scaled by (64/640)²" in of_records(capsys, suite, f"{NAME}:fp", f"{NAME}:lsq")


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("data", {"side": 96}, "data.pin"),
        ("data", {"difficult": "count"}, "data.difficult crowd -> count"),
        ("metric", {"variant": "voc07", "area_side": None}, "metric.variant coco -> voc07"),
        ("metric", {"area_side": 96}, "metric.area_side 64 -> 96"),
    ],
)
def test_other_data_or_metric_is_refused(
    suite: Located, capsys: Capture, part: str, change: dict[str, Any], words: str
) -> None:
    data = suite_data()
    declared = {**data["tiers"]["mini"][part], **change}
    data["tiers"]["mini"][part] = {key: value for key, value in declared.items() if value is not None}
    other = located(suite.root, data, "toy/other")
    measure(other, job_of(other, "lsq"), 2.0)
    error = of_records(capsys, suite, f"{NAME}:fp", "toy/other:lsq", code=2)
    assert error.count("\n") == 1 and words in error and "are not compared" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([f"{NAME}:fp", f"{NAME}:fp-ft"], "toy/table1 fp-ft mini seed 0 has no record"),
        ([f"{NAME}:fp", f"{NAME}:no"], "has no row 'no'; it has fp, fp-ft"),
        ([f"{NAME}:fp", "0" * 8], "no record has such an identity"),
        ([f"{NAME}:fp", "a.json"], "neither SUITE:ROW nor 6 or more digits"),
        ([f"{NAME}:fp", f"{NAME}:lsq", "--pixels", "exclusive"], "--pixels belongs to --gt"),
    ],
)
def test_records_that_are_not_there(suite: Located, capsys: Capture, arguments: list[str], words: str) -> None:
    assert words in of_records(capsys, suite, *arguments, code=2)


def test_predictions_must_be_those_of_the_record(suite: Located, capsys: Capture) -> None:
    store = Store(suite.root)
    fp, lsq = (store.folder(job_of(suite, row).identity) for row in ("fp", "lsq"))
    kept = lsq.predictions.read_bytes()
    lsq.predictions.write_bytes(fp.predictions.read_bytes())
    assert "not the predictions of" in of_records(capsys, suite, f"{NAME}:fp", f"{NAME}:lsq", code=1)
    lsq.predictions.write_bytes(kept)
    record = json.loads(lsq.record_file.read_text())
    record["metrics"]["AP"] += 0.01
    lsq.record_file.write_text(json.dumps(record))
    assert "its record has AP" in of_records(capsys, suite, f"{NAME}:fp", f"{NAME}:lsq", code=1)
    lsq.predictions.unlink()
    said = of_records(capsys, suite, f"{NAME}:fp", f"{NAME}:lsq", code=1)
    assert "its predictions are not here" in said and f"`qdet-bench run {NAME} --tier mini --rows lsq --again`" in said


def test_data_that_changed_since_are_refused(suite: Located, capsys: Capture) -> None:
    identities = [job_of(suite, row).identity[:9] for row in ("fp", "lsq")]
    data = suite_data()
    data["tiers"]["mini"]["data"]["side"] = 96
    located(suite.root, data)
    assert "declares other data now (data.pin" in of_records(capsys, suite, *identities, code=1)


def gate(capsys: Capture, files: list[str], *options: str, code: int) -> str:
    """What is printed; `said` gives it only of a command that ends well."""
    assert main(["compare", files[1], files[2], "--gt", files[0], "--replicates", "100", *options]) == code
    return capsys.readouterr().out


def fallen(files: list[str]) -> dict[str, float]:
    """The differences of the two files, points, by metric and category."""
    gt, a, b = (json.loads(Path(path).read_text()) for path in files)
    one, two = score_coco(gt, a), score_coco(gt, b)
    found = {name: 100 * (two.metrics[name] - one.metrics[name]) for name in METRICS}
    return found | {f"AP:{k}": 100 * (two.per_category[k]["AP"] - one.per_category[k]["AP"]) for k in ("c0", "c1")}


@pytest.mark.parametrize("name", ["AP", "AP75", "AP:c1"])
def test_what_fell_is_named_with_its_fall(files: list[str], capsys: Capture, name: str) -> None:
    fell = fallen(files)[name]
    assert fell < -1
    text = gate(capsys, files, "--fail-below", f"{name}={fell + 0.01:.4f}", "--fail-below", "AR100=-99", code=1)
    assert f"{name}: fell, {fell:+.2f} (" in text and "AR100: holds" in text
    assert f"{name}: holds" in gate(capsys, files, "--fail-below", f"{name}={fell - 0.01:.4f}", code=0)


def test_the_bound_is_stricter_than_the_point(files: list[str], capsys: Capture) -> None:
    found = said(capsys, files[1], files[2], "--gt", files[0], "--replicates", "100", "--json")["metrics"]["AP"]
    low, point = 100 * found["interval"][0], 100 * found["difference"]
    between = ("--fail-below", f"AP={(low + point) / 2:.4f}")
    assert "AP: holds" in gate(capsys, files, *between, code=0)
    assert f"AP: fell, {point:+.2f}" in gate(capsys, files, *between, "--bound", code=1)
    assert "AP: holds" in gate(capsys, files, "--fail-below", f"AP={low - 0.01:.4f}", "--bound", code=0)


def test_one_point_less_fails_by_name(tmp_path: Path, capsys: Capture) -> None:
    """The planted regression: of 100 objects each side finds its own number, so AP is known by hand."""
    boxes = [{"image_id": n, "category_id": 1, "bbox": [10, 10, 40, 40]} for n in range(1, 101)]
    gt = {"images": [{"id": n, "width": 100, "height": 100} for n in range(1, 101)],
          "categories": [{"id": 1, "name": "person"}],
          "annotations": [{**box, "id": n, "area": 1600, "iscrowd": 0} for n, box in enumerate(boxes, 1)]}  # fmt: skip
    for name, content in (("gt", gt), ("a", boxes), ("b", boxes[:99])):
        scored = content if isinstance(content, dict) else [{**box, "score": 0.9} for box in content]
        (tmp_path / f"{name}.json").write_text(json.dumps(scored))
    files = [str(tmp_path / f"{name}.json") for name in ("gt", "a", "b")]
    text = gate(capsys, files, "--fail-below", "AP=-0.5", "--fail-below", "AP:person=-0.5", code=1)
    assert "AP: fell, -0.99 (100.00 -> 99.01), limit -0.5" in text and "AP:person: fell, -0.99" in text
    same = [files[0], files[1], files[1]]
    assert "AP: holds, +0.00" in gate(capsys, same, "--fail-below", "AP=-0.5", "--bound", code=0)


def test_limits_in_json(files: list[str], capsys: Capture) -> None:
    limits = ("--fail-below", "AP=-0.1", "--fail-below", "AP:c0=-99")
    found = json.loads(gate(capsys, files, *limits, "--json", code=1))
    assert found["exit"] == 1
    assert [(one["name"], one["status"]) for one in found["limits"]] == [("AP", "fell"), ("AP:c0", "holds")]
    assert found["limits"][0]["value"] == pytest.approx(fallen(files)["AP"])


def test_a_limit_that_cannot_be_judged_does_not_pass(files: list[str], capsys: Capture) -> None:
    text = gate(capsys, files, "--fail-below", "AP:c3=-1", "--fail-below", "AP=-99", code=3)
    assert "AP:c3: unknown, no difference is defined" in text and "AP: holds" in text
    few = ("--fail-below", "AP:c0=-99", "--bound", "--min-images", "41")
    assert "AP:c0: unknown" in gate(capsys, files, *few, code=3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fail-below", "AP"], "--fail-below AP: must be METRIC=POINTS"),
        (["--fail-below", "=-1"], "--fail-below =-1: must be METRIC=POINTS"),
        (["--fail-below", "AP="], "must be METRIC=POINTS"),
        (["--fail-below", "AP=x"], "must be METRIC=POINTS"),
        (["--fail-below", "AP=nan"], "must be METRIC=POINTS"),
        (["--fail-below", "AP=-inf"], "must be METRIC=POINTS"),
        (["--fail-below", "AP=-101"], "must be METRIC=POINTS"),
        (["--fail-below", "AP:=-1"], "must be METRIC=POINTS or METRIC:CATEGORY=POINTS"),
        (["--fail-below", ""], "must be METRIC=POINTS"),
        (["--fail-below", "AP60=-1"], "no metric 'AP60'; there are AP50"),
        (["--fail-below", "mAP=-1"], "no metric 'mAP'; there are AP"),
        (["--fail-below", "AP:c9=-1"], "no category 'c9'; there are c"),
        (["--fail-below", "AP50:c0=-1"], "categories have AP alone; write AP:c0"),
        (["--fail-below", "AP=-1", "--fail-below", "AP=-2"], "--fail-below AP: has two limits"),
        (["--bound"], "--bound belongs to --fail-below"),
        (["--min-images", "1"], "--min-images 1: must be from 2 to"),
        (["--min-images", "-3"], "--min-images -3: must be from 2 to"),
        (["--metric", "voc07", "--fail-below", "AP=-1"], "no metric 'AP'; there are mAP"),
    ],
)
def test_wrong_limits(files: list[str], capsys: Capture, options: list[str], words: str) -> None:
    error = said(capsys, files[1], files[2], "--gt", files[0], "--replicates", "100", *options, code=2)
    assert words in error and error.count("\n") == 1 and error.startswith("qdet-bench: ")


def test_few_images_have_no_interval(files: list[str], capsys: Capture) -> None:
    """Of 40 images some 20 have an object of each category; the count is of images, not of objects."""
    gt = json.loads(Path(files[0]).read_text())
    having = {a["image_id"] for a in gt["annotations"] if a["category_id"] == 1 and not a["iscrowd"]}
    for few, told in ((len(having), True), (len(having) + 1, False)):
        options = ("--gt", files[0], "--replicates", "100", "--min-images", str(few))
        found = said(capsys, files[1], files[2], *options, "--json")
        category = found["per_category"]["c0"]
        assert category["images"] == len(having) and found["min_images"] == few
        assert (category["interval"] is not None, category["p_holm"] is not None) == (told, told)
        assert category["difference"] is not None and found["metrics"]["AP"]["interval"] is not None
    text = said(capsys, files[1], files[2], "--gt", files[0], "--replicates", "100", "--min-images", "41")
    assert "fewer than 41 images (--min-images) have an object" in text
    line = next(line for line in text.splitlines() if line.startswith("c0 "))
    assert line.split()[4:] == ["-", "-", str(len(having))]


@pytest.mark.parametrize("case", ["one_image_category", "null"])
def test_the_cases_of_few_images(shared: Path, capsys: Capture, case: str) -> None:
    folder = shared / "cases" / "compare"
    if case == "null":
        gt = shared / "data" / "coco_val2017_free" / "instances.json"
        a, b = folder / "null_A.json", folder / "null_B.json"
    else:
        gt, a, b = (folder / case / f"{name}.json" for name in ("gt", "a", "b"))
    result = said(capsys, str(a), str(b), "--gt", str(gt), "--json")
    few = [one for one in result["per_category"].values() if one["images"] < 20]
    assert few and all(one["interval"] is None and one["p_holm"] is None for one in few)
    tested = [one["p_holm"] for one in result["per_category"].values() if one["p_holm"] is not None]
    assert all(p > 0.05 for p in tested)
