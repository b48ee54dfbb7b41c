"""Which images are chosen, and that pictures come from saved predictions, also from committed ones."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from factories import job_of, record_data, suite_data
from pages import Page
from test_report import CLAIM, located

from bench.cli.main import main
from bench.data.load import load
from bench.errors import UsageError
from bench.evaluation.boxes import Detections
from bench.evaluation.choice import best, choose, coverage
from bench.evaluation.predictions import Predictions
from bench.plan.jobs import plan
from bench.records.files import write_json
from bench.records.store import LOCAL, Store
from bench.report.html.page import render
from bench.report.html.pictures import pictures
from bench.report.sections import Section, find_sections
from bench.schema.load import Located
from bench.verdict.baseline import accept
from bench.verdict.gather import gather
from bench.verdict.kept import keep_predictions
from bench.verdict.sides import detections_of, find_side

GT: dict[str, Any] = {
    "images": [{"id": k, "file_name": f"photos/{k}.jpg"} for k in (1, 2, 3)],
    "annotations": [
        {"image_id": k, "category_id": 7, "bbox": [0, 0, 10, 10], "iscrowd": 0} for k in (1, 2, 2, 3)
    ],
}  # fmt: skip


def found(*boxes: tuple[int, float, float]) -> Detections:
    """Image, width and score of each, at the corner where the objects are."""
    return Detections.of(
        [{"image_id": k, "category_id": 7, "bbox": [0, 0, width, 10], "score": score} for k, width, score in boxes]
    )


WHOLE = found((1, 10, 0.9), (2, 10, 0.9), (3, 10, 0.9))
HALF = found((1, 8, 0.9), (2, 5, 0.9), (3, 10, 0.2))


def test_an_image_counts_how_well_its_objects_are_covered() -> None:
    assert coverage(GT, WHOLE) == {1: 1.0, 2: 1.0, 3: 1.0}
    assert coverage(GT, HALF) == pytest.approx({1: 0.8, 2: 0.5, 3: 0.0})


def test_images_are_chosen_by_id_name_chance_or_difference() -> None:
    assert choose("3,1", GT, []) == [3, 1]
    assert choose("2.jpg,3", GT, []) == [2, 3]
    assert choose("worst:2", GT, [WHOLE, HALF]) == [3, 2]
    assert choose("worst:1", GT, [HALF, WHOLE]) == [1]
    assert choose("random:2", GT, []) == choose("random:2", GT, [])
    assert sorted(choose("random:8", GT, [])) == [1, 2, 3]


@pytest.mark.parametrize("text", ["9", "no.jpg", "", "random:0", "worst:x", "random:9", "1,1,1,1,1,1,1,1,1", "worst:1"])
def test_a_wrong_choice_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--images"):
        choose(text, GT, [WHOLE])


def test_the_best_detections_are_drawn_the_best_one_on_top() -> None:
    many = found(*((1, 10, 0.1 * k) for k in range(1, 10)))
    assert [round(box["score"], 1) for box in best(many, 1)] == [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert best(many, 2) == []


@pytest.fixture
def suite(tmp_path: Path) -> Located:
    """Local records with predictions: FP+ft finds every object, LSQ none."""
    suite = located(tmp_path, suite_data(claims=[CLAIM]))
    data = load(suite.suite.tiers["mini"].data, "test", tmp_path, Store(tmp_path).data_cache)
    whole = [
        {**{key: one[key] for key in ("image_id", "category_id", "bbox")}, "score": 0.75}
        for one in data.coco["annotations"]
        if not one["iscrowd"]
    ]
    for job in plan(suite, "mini"):
        folder = Store(tmp_path).folder(job.identity)
        predictions = Predictions.from_coco({"fp": whole[:1], "fp-ft": whole, "lsq": []}[job.row.id])
        folder.path.mkdir(parents=True)
        predictions.save(folder.predictions)
        kept = {"digest": predictions.digest(), "count": len(predictions)}
        write_json(folder.record_file, record_data(job, 0.5, predictions=kept))
    return suite


def one(suite: Located, origin: Any = "local") -> Section:
    (section,) = find_sections([suite], [origin])
    return section


def test_a_claims_rows_stand_side_by_side(suite: Located) -> None:
    section = one(suite)
    (shown,) = pictures(section, "1,2")
    assert len(shown.pictures) == 2
    for picture in shown.pictures:
        truth, ft, lsq = picture.panels
        assert [panel.title for panel in picture.panels] == ["truth", "FP+ft 32/32", "LSQ 2/2"]
        assert len(ft.boxes) == min(len(truth.boxes), 6)
        assert all(box.words.endswith(" 0.75") for box in ft.boxes)
        assert lsq.boxes == ()
        assert picture.source.startswith("data:image/png;base64,")
    page = render([section], "qdet-bench report", None, "worst:1")
    assert "Example detections" in page
    assert not Page(page).outside
    assert "Example detections" not in render([section], "qdet-bench report", None)


def test_committed_predictions_serve_a_clone(suite: Located) -> None:
    accept(gather(suite, "mini"))
    kept = keep_predictions(gather(suite, "mini"))
    assert len(kept) == 2, "of the two rows of the claim, not of FP"
    shutil.rmtree(suite.root / LOCAL)
    (shown,) = pictures(one(suite, "committed"), "worst:1")
    assert len(shown.pictures) == 1
    side = find_side(f"{suite.name}:fp-ft", suite.root, "mini")
    assert "(committed)" in side.name
    assert len(detections_of(side)) > 0
    again = "`qdet-bench run toy/table1 --tier mini --rows fp` makes both, `qdet-bench restore"
    with pytest.raises(UsageError, match=f"fp mini seed 0 has a committed record, without predictions: {again}"):
        find_side(f"{suite.name}:fp", suite.root, "mini")


def test_that_there_is_no_picture_is_said(suite: Located, capsys: pytest.CaptureFixture[str]) -> None:
    report = ["--root", str(suite.root), "report", "--images", "worst:1"]
    assert main(report) == 0
    assert capsys.readouterr().err == ""
    Store(suite.root).folder(job_of(suite, "lsq").identity).predictions.unlink()
    assert main(report) == 0
    assert "--images worst:1: no picture, as of no claim the data and the predictions" in capsys.readouterr().err


def test_large_predictions_are_not_committed(suite: Located, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.verdict.kept.MOST_BYTES", 10)
    assert keep_predictions(gather(suite, "mini")) == []
