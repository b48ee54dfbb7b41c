"""Claims over images: of rows that are not trained, from predictions to `check` and `table`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import NAME, call, job_of, located, store_record, suite_data

from bench.cli.main import main
from bench.data.load import load
from bench.errors import UsageError
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.evaluation.resample import resample
from bench.plan.jobs import plan
from bench.records.store import LOCAL, Store
from bench.report.claims import grids, notes
from bench.report.make import accept_results, committed_text, make_table
from bench.schema.load import Located
from bench.statistics.bootstrap import draw
from bench.verdict.claims import ClaimVerdict, judge
from bench.verdict.committed import gather_committed
from bench.verdict.gather import gather
from bench.verdict.kept_differences import COMMITTED_FOLDER, LOCAL_FOLDER

FAMILY = {"over": "images", "replicates": 500, "seed": 3}
ROWS = (("good", "4/4"), ("bad", "3/3"), ("same", "2/2"))
Capture = pytest.CaptureFixture[str]
Detection = dict[str, Any]


def claim(name: str = "c", rows: tuple[str, ...] = ("good", "bad"), **changes: Any) -> dict[str, Any]:
    found = {"id": name, "text": f"claim {name}", "source": "ours", "kind": "difference", "metric": "AP"}
    return {**found, "rows": list(rows), **changes}


def suite_of(root: Path, *claims: dict[str, Any], seeds: int = 1, family: Any = None, **changes: Any) -> Located:
    """FP, three rows quantized after training from it, and one that another tool computes; 40 drawings to test on."""
    data = suite_data(**changes)
    fp, _, lsq, _ = data["rows"]
    ptq = {key: value for key, value in lsq.items() if key not in ("recipe", "published")}
    told = {"id": "ort", "label": "ORT", "detector": "retinanet-r18", "bits": "2/2", "reported_only": "another tool"}
    data["rows"] = [fp, *({**ptq, "id": row, "label": row, "bits": bits} for row, bits in ROWS), told]
    data["claims"] = list(claims) or [claim()]
    ids = [one["id"] for one in data["claims"]]
    data["evidence"] = {"families": {"ptq": {"claims": ids, **FAMILY, **(family or {})}}}
    spec = data["tiers"]["mini"]
    spec["data"] = {**spec["data"], "images": {"train": 8, "test": 40}}
    spec |= {"seeds": seeds, "checkpoints": "own" if seeds > 1 else "shared"}
    return located(root, data)


def detections(suite: Located, noise: float) -> list[Detection]:
    """Each object, its box moved by about so many px."""
    spec = suite.suite.tiers["mini"].data
    objects = load(spec, "test", suite.root, Store(suite.root).data_cache).coco["annotations"]
    rng = np.random.default_rng(int(1000 * noise))
    moved = [np.abs(np.array(o["bbox"]) + rng.normal(0, noise, 4)).tolist() for o in objects]
    one = zip(objects, moved, rng.random(len(objects)), strict=True)
    kept = ("image_id", "category_id")
    return [{key: o[key] for key in kept} | {"bbox": box, "score": float(score)} for o, box, score in one]


def measure(suite: Located, row: str, noise: float, repetition: int = 0, **changes: Any) -> None:
    """Leave such predictions, and the record that follows from them."""
    job, spec = job_of(suite, row, repetition), suite.suite.tiers["mini"]
    gt = load(spec.data, "test", suite.root, Store(suite.root).data_cache).coco
    found = Predictions.from_coco(detections(suite, noise))
    scores = metric_of(spec.metric).score(gt, found.to_coco())
    folder = Store(suite.root).folder(job.identity)
    folder.path.mkdir(parents=True, exist_ok=True)
    found.save(folder.predictions)
    facts = {"metrics": scores.metrics, "per_category": scores.per_category}
    digest = {"digest": found.digest(), "count": len(found)}
    store_record(suite, job, **facts, predictions=digest, **changes)


def measure_all(suite: Located, good: float = 1.0, bad: float = 3.0, repetition: int = 0) -> None:
    measure(suite, "fp", 0.3, repetition)
    for row, noise in (("good", good), ("bad", bad), ("same", good)):
        measure(suite, row, noise, repetition)


def verdict(suite: Located) -> ClaimVerdict:
    return judge(gather(suite, "mini"))[0]


def test_a_planted_difference_holds(tmp_path: Path, capsys: Capture) -> None:
    suite = suite_of(tmp_path)
    measure_all(suite)
    found = verdict(suite)
    one, two = (Store(tmp_path).folder(job_of(suite, row).identity).record() for row in ("good", "bad"))
    assert one is not None and two is not None
    assert found.answer.mean == pytest.approx(100 * (one.metrics["AP"] - two.metrics["AP"]), abs=1e-9)
    assert (found.status, found.over, found.answer.n, found.regime) == ("holds", "images", 40, "in")
    assert found.answer.lower is not None and found.answer.upper is not None and found.answer.mean is not None
    assert 0 < found.answer.lower < found.answer.mean < found.answer.upper
    assert (found.answer.sign, found.answer.positive, found.collapsed) == (None, None, None)
    assert call(suite, "check") in (0, 3)
    text = capsys.readouterr().out
    assert "over images: each bound at 97 %, on one checkpoint and one calibration set" in text
    (grid,) = grids([found], suite.suite, "mini")
    line = dict(zip([column.heading for column in grid.columns], grid.rows[0], strict=True))
    assert (line["images"], line["sign test"], line["collapsed"]) == ("40", "-", "-") and "pairs" not in line
    said = " ".join(notes([found], suite.suite, "mini"))
    assert "500 replicates of the paired bootstrap (seed 3)" in said and "Student's t" not in said


def test_the_other_way_round_it_fails(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, claim(rows=("bad", "good")))
    measure_all(suite)
    assert verdict(suite).status == "fails"


def test_no_difference_does_not_hold(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, claim(rows=("good", "same")))
    measure_all(suite)
    found = verdict(suite)
    assert (found.status, found.answer.mean) == ("inconclusive", 0) and "no image tells its rows apart" in found.message
    measure(suite, "good", 3.0)
    measure(suite, "same", 3.001)  # another draw of the same noise
    found = verdict(suite)
    assert found.answer.lower is not None and found.answer.upper is not None
    assert found.answer.mean != 0 and found.answer.lower < 0 < found.answer.upper and found.status == "inconclusive"


def test_bounds_are_quantiles_at_the_level_of_the_family(tmp_path: Path) -> None:
    """Three claims at 3 %: each bound is where 1 % of the replicates lie beyond, of the draws that the seed gives."""
    suite = suite_of(tmp_path, claim("a"), claim("b", ("good", "same")), claim("c", ("same", "bad")))
    measure_all(suite)
    found = verdict(suite)
    assert found.answer.level == pytest.approx(0.01)
    spec = suite.suite.tiers["mini"]
    gt, metric = load(spec.data, "test", tmp_path, Store(tmp_path).data_cache).coco, metric_of(spec.metric)
    weights = draw(40, 500, np.random.Generator(np.random.PCG64(3)))
    ends = [Predictions.from_coco(detections(suite, noise)).detections() for noise in (1.0, 3.0)]
    good, bad = (resample(metric.match(gt, end), weights, metric).metrics["AP"] for end in ends)
    expected = 100 * np.quantile(good - bad, [0.01, 0.99], method="weibull")
    assert (found.answer.lower, found.answer.upper) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize(("bad", "status"), [(40.0, "out of regime"), (3.0, "holds")])
def test_rows_that_are_too_low_are_not_ranked(tmp_path: Path, bad: float, status: str) -> None:
    suite = suite_of(tmp_path, family={"least": 5.0})
    measure_all(suite, good=25.0 if status == "out of regime" else 1.0, bad=bad)
    found = verdict(suite)
    assert found.status == status
    assert ("AP: none has 5, the least that is ranked" in found.regime_why) == (status == "out of regime")


def test_the_note_of_a_claim_out_of_regime_says_why_before_what_it_would_read(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, family={"least": 5.0})
    measure_all(suite, good=25.0, bad=40.0)
    found = verdict(suite)
    *_, note = notes([found], suite.suite, "mini")
    assert note.startswith(f"Claim {found.claim.id} (AP): {found.claim.source}. Regime out: {found.regime_why}.")
    assert note.endswith(f" Within the regime it would read: {found.answer.words}.")


def test_one_row_above_the_least_is_enough(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, family={"least": 5.0})
    measure_all(suite, good=1.0, bad=40.0)
    assert verdict(suite).status == "holds"


def test_absent_predictions_name_the_command(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    measure_all(suite)
    Store(tmp_path).folder(job_of(suite, "bad").identity).predictions.unlink()
    found = verdict(suite)
    assert (found.status, found.answer.lower) == ("inconclusive", None) and found.answer.mean
    assert f"`qdet-bench run {NAME} --tier mini --rows bad --again` makes them" in found.message


def test_a_difference_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.verdict import bootstrapped

    suite = suite_of(tmp_path)
    measure_all(suite)
    first = verdict(suite)

    def refuse(*_: Any) -> Any:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(bootstrapped, "compare_detections", refuse)
        assert verdict(suite) == first
        with pytest.raises(AssertionError, match="computed again"):  # other predictions
            measure(suite, "bad", 3.5)
            verdict(suite)
        with pytest.raises(AssertionError, match="computed again"):  # another seed
            verdict(suite_of(tmp_path, family={"seed": 4}))


def test_a_clone_makes_the_same_table(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    measure_all(suite)
    files = accept_results(gather(suite, "mini"))
    text = committed_text(suite, "mini")
    assert [path.parent for path in files].count(tmp_path / COMMITTED_FOLDER) == 1
    shutil.rmtree(tmp_path / LOCAL)
    (found,) = judge(gather_committed(suite, "mini"))
    assert found.status == "holds" and committed_text(suite, "mini") == text
    shutil.rmtree(tmp_path / COMMITTED_FOLDER)
    assert judge(gather_committed(suite, "mini"))[0].status == "inconclusive"
    assert not (tmp_path / LOCAL_FOLDER).exists()


def test_the_first_repetition_decides_and_the_others_stand_beside(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, seeds=3)
    measure_all(suite)
    alone = verdict(suite)
    assert alone.status == "holds" and "1 repetition skipped" not in alone.message
    for n, bad in ((1, 1.5), (2, 2.0)):
        measure_all(suite, bad=bad, repetition=n)
    found = verdict(suite)
    assert found.answer == alone.answer and found.repetitions == (0, 1, 2)
    low, high = sorted(found.differences[1:])
    assert f"2 other repetitions give {low:+.2f} to {high:+.2f}, which is no part of the interval" in found.message
    Store(tmp_path).folder(job_of(suite, "bad").identity).record_file.unlink()
    found = verdict(suite)
    assert found.status == "no result" and "the first repetition, which decides, has no pair" in found.message


def test_a_row_that_runs_once_is_compared_with_the_first_repetition_alone(tmp_path: Path) -> None:
    """It has the first draw of calibration images, so the other draws of a repeated row are no match for it."""
    suite = suite_of(tmp_path, seeds=3)
    data = json.loads(suite.path.read_text())
    next(row for row in data["rows"] if row["id"] == "bad")["repetitions"] = 1
    suite = located(tmp_path, data)
    assert [job.repetition for job in plan(suite, "mini", ("good", "bad")) if job.row.id == "bad"] == [0]
    for repetition in range(3):
        measure(suite, "fp", 0.3, repetition)
        measure(suite, "good", 1.0 + repetition, repetition)
    measure(suite, "bad", 3.0)
    found = verdict(suite)
    assert (found.status, found.repetitions) == ("holds", (0,)) and "other repetitions" not in found.message


def test_rows_of_different_checkpoints_are_no_pair(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    measure(suite, "good", 1.0, start_sha256="a" * 64)
    measure(suite, "bad", 3.0, start_sha256="b" * 64)
    found = verdict(suite)
    assert (found.status, found.message) == ("no result", "its rows started from different checkpoints")


def test_a_group_on_few_images_has_no_interval(tmp_path: Path) -> None:
    categories = suite_of(tmp_path / "names")
    measure(categories, "fp", 0.3)
    record = Store(categories.root).folder(job_of(categories, "fp").identity).record()
    assert record is not None
    names = list(record.per_category)
    groups = {"few": {"categories": names[:1], "source": "ours"}, "most": {"categories": names[:-1], "source": "ours"}}
    claims = [claim(name, metric=f"{name}.AP") for name in groups]
    suite = suite_of(tmp_path, *claims, groups=groups)
    measure_all(suite)
    few, most = judge(gather(suite, "mini"))
    assert few.answer.lower is None and "images have an object of its group; 20 are needed" in few.message
    assert most.status == "holds"


def test_a_row_of_another_tool_is_compared_by_what_was_submitted(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, claim(rows=("good", "ort")))
    measure_all(suite)
    assert verdict(suite).message == "no result of ort"
    file = tmp_path / "ort.json"
    file.write_text(json.dumps(detections(suite, 2.5)))
    assert main(["--root", str(tmp_path), "submit", NAME, "ort", "--tier", "mini", "--dt", str(file)]) == 0
    found = verdict(suite)
    assert (found.status, found.answer.n) == ("holds", 40)
    assert main(["--root", str(tmp_path), "accept", NAME, "--tier", "mini", "--external"]) == 0
    accept_results(gather(suite, "mini"))
    shutil.rmtree(tmp_path / LOCAL)
    (committed,) = judge(gather_committed(suite, "mini"))
    assert (committed.status, committed.answer) == ("holds", found.answer)
    (row,) = [row for row in make_table(suite, "mini", committed=True).rows if row[0].endswith("(external)")]
    assert float(row[2]) > 0 and "no result" not in " ".join(row)


Change = Callable[[dict[str, Any]], Any]
WRONG: list[tuple[dict[str, Any], str]] = [
    (claim(rows=("good", "fp")), "family 'ptq' is over images, but has trained rows (fp)"),
    (claim(kind="interaction", rows=("good", "bad", "same", "bad")), "is an interaction: over images only differences"),
    (claim(metric="gap_share"), "gap_share does not follow from predictions"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_wrong_claims_are_refused(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        suite_of(tmp_path, wrong)
    assert words in str(refused.value) and "table1.yaml:" in str(refused.value)


def test_rows_of_other_checkpoints_are_refused(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    data = json.loads(suite.path.read_text())
    fp = data["rows"][0]
    data["rows"].insert(1, {**fp, "id": "fp2"})
    next(row for row in data["rows"] if row["id"] == "bad")["start"] = "fp2"
    with pytest.raises(UsageError, match="claim 'c': its rows have other checkpoints at tier mini"):
        located(tmp_path, data)
