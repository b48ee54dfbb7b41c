"""A metric is one object: what a new one touches, and that one added from outside is scored, shown and judged."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from factories import job_of, located, measure_all

from bench.evaluation.boxes import Detections
from bench.evaluation.coco import METRICS as COCO_NAMES
from bench.evaluation.matching import Matches
from bench.evaluation.metric import METRICS, BoxMetric, Curve, metric_of
from bench.evaluation.scores import Scores
from bench.evaluation.voc import score_voc
from bench.external.submit import Submission, submit
from bench.report.make import make_table
from bench.schema.load import Located
from bench.schema.suite import Metric
from bench.verdict.check import judge
from bench.verdict.gather import gather

PACKAGE = Path(__file__).parents[1] / "bench"
GT: dict[str, Any] = {
    "images": [{"id": 1}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
    "categories": [{"id": 1, "name": "one"}],
}
DT = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.9}]


class ToySpec(Metric):
    """What a suite would say of the toy: a new name in `Metric.variant`."""

    variant: Literal["toy"]  # type: ignore[assignment]


class Toy(BoxMetric):
    """Share of the images with a detection."""

    headline = "seen"
    columns = ("seen", "images")
    settings = frozenset()

    def score(self, gt: Mapping[str, Any], detections: Any) -> Scores:
        seen = set(Detections.of(detections).image.tolist())
        share = len(seen) / len(gt["images"])
        return Scores({"seen": share, "images": share / 2}, {"all": {"seen": share}})

    def match(self, gt: Mapping[str, Any], detections: Any) -> Matches:
        raise NotImplementedError

    def curve(self) -> Curve:
        raise NotImplementedError

    def resampled(self, precision: Any, matches: Matches, weights: Any) -> Any:
        raise NotImplementedError

    def words(self) -> str:
        return "share of the images with a detection, in percent"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Located:
    monkeypatch.setitem(METRICS, "toy", Toy)
    found = located(tmp_path)
    tier = found.suite.tiers["mini"].model_copy(update={"metric": ToySpec(variant="toy")})
    return replace(found, suite=found.suite.model_copy(update={"tiers": {"mini": tier}}))


def test_a_metric_from_outside_is_scored_shown_and_judged(suite: Located, tmp_path: Path) -> None:
    (tmp_path / "dt.json").write_text('[{"image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}]')
    kept = submit(suite, "mini", Submission("lsq", 0, tmp_path / "dt.json")).record
    assert (kept.metrics, kept.scorer) == ({"seen": 0.25, "images": 0.125}, "bench")
    job = job_of(suite, "fp")
    assert job.raw["metric"]["variant"] == "toy"
    measure_all(suite)  # with AP, which the toy does not have
    verdicts = {(v.row, v.kind): v for v in judge(gather(suite, "mini"), None, None)}
    assert verdicts["fp", "result"].message == "seen is absent"
    assert "seen 25.00" in verdicts["lsq", "external"].message
    table = make_table(suite, "mini", committed=False)
    headings = [column.heading for column in table.columns]
    assert "seen" in headings and "images" in headings and "AP" not in headings
    (line,) = [row for row in table.rows if row[0].startswith("LSQ (external)")]
    assert line[headings.index("seen")] == "25.00"
    assert table.notes[0] == "Measured: share of the images with a detection, in percent; of several runs the mean."


def test_what_names_a_metric() -> None:
    """Beside the file that computes it and its tests, a new VOC-like metric touches two of these."""
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if '"voc12"' in p.read_text("utf-8")}
    assert found == {
        "evaluation/metric.py",
        "evaluation/voc.py",  # computes it
        "schema/published.py",  # what a paper may have printed, not what is computed
        "schema/suite.py",
    }


@pytest.mark.parametrize("variant", list(METRICS))
def test_columns_are_numbers_of_the_score(variant: Any) -> None:
    metric = metric_of(Metric(variant=variant))
    assert metric.columns[0] == metric.headline == metric.published_names()[0]
    assert set(metric.columns) <= metric.score(GT, DT).metrics.keys()


def test_settings_reach_the_scorer() -> None:
    near = [{**DT[0], "bbox": [0, 0, 9, 4]}]  # IoU 0.5 by columns of inclusive pixels, 0.44 without
    for pixels in ("inclusive", "exclusive"):
        metric = metric_of(Metric(variant="voc07", pixels=pixels, iou=0.45))
        assert metric.score(GT, near) == score_voc(GT, near, variant="voc07", iou=0.45, pixels=pixels)
    small = metric_of(Metric(variant="coco", area_side=64)).score(GT, DT).metrics
    assert tuple(small) == COCO_NAMES
    assert (small["AP_S"], small["AP_M"]) == (-1, pytest.approx(1)), "9 x 9 px are medium where images have 64 px"
    assert metric_of(Metric(variant="coco", area_side=64)).words() == (
        "COCO AP at IoU .50:.95, AP50, AP75, area ranges scaled by (64/640)², in percent"
    )


def test_curves_differ_as_the_kits_do() -> None:
    levels = {name: len(metric_of(Metric(variant=name)).curve().levels) for name in METRICS}  # type: ignore[arg-type]
    assert levels == {"coco": 101, "voc07": 11, "voc12": 0}
    assert np.isclose(metric_of(Metric(variant="coco")).curve().epsilon, 2.2e-16, atol=1e-17)
