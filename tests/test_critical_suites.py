"""Groups of categories in a suite: gates, claims, regimes, the rule that chooses categories, and the table."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import NAME, call, job_of, located, record, store_record, suite_data
from test_compare import measure as measure_predictions
from test_critical import FOUND, NAMES, planted

from bench.cli.main import main
from bench.errors import UsageError
from bench.evaluation.coco import score_coco
from bench.plan.jobs import plan
from bench.schema.load import Located
from bench.verdict.baseline import baseline_file
from bench.verdict.gather import JobResult, gather
from bench.verdict.groups import resolve

Capture = pytest.CaptureFixture[str]
PERSON = {"person": {"categories": [NAMES[0]], "source": "ours"}}


def scored(side: int) -> dict[str, Any]:
    """The fields of a record that follow from one side's predictions."""
    gt, *sides = planted()
    scores = score_coco(gt, sides[side])
    return {
        "metrics": scores.metrics,
        "per_category": scores.per_category,
        "category_images": scores.images,
        "predictions": {"digest": f"{side + 1:064x}", "count": len(sides[side])},
    }


def with_claims(*rows: str, **claim: Any) -> dict[str, Any]:
    own = {"id": "c", "text": "t", "source": "s", "kind": "difference", "metric": "person.AP", "rows": list(rows)}
    return {"claims": [own | claim]}


def suite_of(root: Path, **changes: Any) -> Located:
    """The toy suite with three repetitions of its quantized row."""
    data = suite_data(groups=PERSON)
    data["tiers"]["mini"]["seeds"] = 3
    return located(root, data | changes)


def measure(suite: Located, **sides: int) -> None:
    """A record of every job; `sides` says by row id whose predictions it has, A's where it is silent."""
    for job in plan(suite, "mini"):
        store_record(suite, job, **scored(sides.get(job.row.id.replace("-", "_"), 0)))


def judged(suite: Located, capsys: Capture, row: str = "lsq") -> tuple[int, str, str]:
    capsys.readouterr()
    code = call(suite, "check", "--gate", "--json")
    verdicts = json.loads(capsys.readouterr().out)["suites"][0]["verdicts"]
    found = next(v for v in verdicts if v["row"] == row and v["kind"] != "reference")
    return code, found["status"], found["message"]


def tolerate(suite: Located, **rows: Any) -> None:
    path = baseline_file(suite, "mini")
    data = json.loads(path.read_text())
    data["tolerances"]["rows"] = rows
    path.write_text(json.dumps(data))


WIDE = {"kind": "absolute", "metric": "AP", "value": 0.003, "reason": "another machine"}
RATIO = {"kind": "ratio", "metric": "AP", "row": "fp", "value": 0.003, "reason": "another machine"}
MEANS = {"kind": "statistical", "metric": "AP", "margin": 0.003, "reason": "another machine"}


@pytest.mark.parametrize("tolerance", [None, WIDE, RATIO])
def test_check_catches_a_critical_fall_that_ap_hides(tmp_path: Path, capsys: Capture, tolerance: Any) -> None:
    suite = suite_of(tmp_path)
    measure(suite)
    call(suite, "accept")
    tolerate(suite, **({"lsq": tolerance} if tolerance else {}))
    assert judged(suite, capsys)[:2] == (0, "holds")
    measure(suite, lsq=1)
    code, status, message = judged(suite, capsys)
    assert (code, status) == (1, "regressed")
    assert "person.AP 97.03, baseline 99.01 (-1.98)" in message
    # Without the group the tolerance lets it pass.
    suite = suite_of(tmp_path, groups={})
    assert judged(suite, capsys)[:2] == ((0, "holds") if tolerance else (1, "changed"))


def test_runs_together_catch_it_too(tmp_path: Path, capsys: Capture) -> None:
    data = suite_data(groups=PERSON)
    data["tiers"]["mini"]["seeds"] = 5
    suite = located(tmp_path, data)
    measure(suite)
    call(suite, "accept")
    tolerate(suite, lsq=MEANS)
    for seed in range(5):
        store_record(suite, job_of(suite, "lsq", seed), **scored(1))
    code, status, message = judged(suite, capsys)
    assert (code, status) == (1, "regressed")
    assert "AP 98.02 (mean of 5 runs)" in message and "person.AP 97.03 (mean of 5 runs), baseline 99.01" in message


def test_a_group_has_a_tolerance_of_its_own(tmp_path: Path, capsys: Capture) -> None:
    suite = suite_of(tmp_path)
    measure(suite)
    call(suite, "accept")
    options = ["--reason", "few objects", "--tolerance", "lsq=absolute:0.3", "--tolerance"]
    assert call(suite, "accept", *options, "lsq:person.AP=absolute:3") == 0
    measure(suite, lsq=1)
    assert judged(suite, capsys)[:2] == (0, "holds")
    assert (
        call(suite, "accept", "--reason", "x", "--tolerance", "*:person.AP=absolute:1", "--tolerance", "*=absolute:1")
        == 0
    )
    assert judged(suite, capsys)[:2] == (0, "holds"), "the row's own has precedence"
    for wrong, words in {
        "lsq:persons.AP=absolute:1": "unknown metric of a group 'persons.AP'; did you mean 'person.AP'?",
        "lsq:person.AP=statistical:1": "lsq itself is held to absolute, not statistical",
        "lsqq:person.AP=absolute:1": "has no row 'lsqq",
    }.items():
        with pytest.raises(UsageError, match=words.replace("?", r"\?")):
            call(suite, "accept", "--reason", "x", "--tolerance", wrong)
    call(suite, "accept")
    rows = json.loads(baseline_file(suite, "mini").read_text())["tolerances"]["rows"]
    assert set(rows) == {"lsq", "lsq:person.AP", "*:person.AP"}, "tolerances survive"


def claim_of(suite: Located, capsys: Capture) -> dict[str, Any]:
    capsys.readouterr()
    call(suite, "check", "--json")
    (found,) = json.loads(capsys.readouterr().out)["suites"][0]["claims"]
    return dict(found)


def test_a_claim_on_a_group(tmp_path: Path, capsys: Capture) -> None:
    suite = suite_of(tmp_path, **with_claims("lsq", "fp-ft"))
    measure(suite, lsq=1)
    found = claim_of(suite, capsys)
    assert found["n"] == 3 and found["mean"] == pytest.approx(-200 / 101)
    suite = suite_of(tmp_path, **with_claims("lsq", "fp-ft", metric="AP"))
    assert claim_of(suite, capsys)["mean"] == pytest.approx(0, abs=1e-9)


def test_recalls_of_old_records_are_named(tmp_path: Path, capsys: Capture) -> None:
    suite = suite_of(tmp_path, **with_claims("lsq", "fp-ft", metric="person.AR100"))
    measure(suite)
    assert claim_of(suite, capsys)["mean"] == 0
    old = scored(0)
    old["per_category"] = {name: {"AP": values["AP"]} for name, values in old["per_category"].items()}
    for job in plan(suite, "mini"):
        store_record(suite, job, **old)
    found = claim_of(suite, capsys)
    assert found["status"] == "no result" and found["message"] == "no person.AR100 of lsq, fp-ft"


@pytest.mark.parametrize(("least", "regime"), [(1.0, "in"), (3.0, "out")])
def test_a_group_is_a_regime(tmp_path: Path, capsys: Capture, least: float, regime: str) -> None:
    limits = [
        {"id": "hurts", "row": "lsq", "reference": "fp-ft", "loses_at_least": least, "metric": "person.AP"},
        {"row": "lsq", "reference": "fp-ft", "loses_at_most": 3.0},
    ]
    suite = suite_of(tmp_path, regime=limits, **with_claims("lsq", "fp-ft", within=["hurts", "lsq"]))
    measure(suite, lsq=1)
    for seed, ap in enumerate((0.0, 0.0005, 0.001)):  # a spread
        job = job_of(suite, "lsq", seed)
        fields = scored(1)
        fields["per_category"][NAMES[0]]["AP"] -= ap
        store_record(suite, job, **fields)
    found = claim_of(suite, capsys)
    assert found["regime"] == regime
    if regime == "out":
        assert found["verdict"] == "out of regime"
        assert found["regime_why"].startswith("lsq loses 2.03 person.AP against fp-ft, the least is 3")


def ruled(root: Path, **rule: Any) -> Located:
    """A suite whose group is chosen on the tune split."""
    rule = {"count": 1, "row": "lsq-tune", "reference": "fp-tune", "min_images": 50} | rule
    data = suite_data(groups={"hurt": {"most_impacted": rule}}, **with_claims("lsq", "fp-ft", metric="hurt.AP"))
    data["tiers"]["mini"]["data"]["images"]["tune"] = 4
    fp, lsq = data["rows"][0], {**data["rows"][2], "id": "lsq-tune", "label": "LSQ", "scored": "tune"}
    del lsq["published"], lsq["pins"]
    tuned = {key: value for key, value in fp.items() if key not in ("recipe", "published")}
    data["rows"] += [{**tuned, "id": "fp-tune", "start": "fp", "scored": "tune"}, lsq]
    return located(root, data)


def test_categories_are_chosen_on_tune_and_reported_on_test(tmp_path: Path, capsys: Capture) -> None:
    suite = ruled(tmp_path)
    measure(suite, lsq=0, lsq_tune=1)
    (found,) = resolve(gather(suite, "mini")).values()
    assert found.categories == (NAMES[0],), "the one that falls on the tune split"
    assert found.source == "the 1 that lsq-tune hurts most against fp-tune, chosen on the tune split"
    assert claim_of(suite, capsys)["mean"] == 0, "reported on the test split"


def test_a_rule_without_records_says_what_to_run(tmp_path: Path, capsys: Capture) -> None:
    suite = ruled(tmp_path)
    for row in ("fp", "fp-ft", "lsq", "fp-tune"):
        store_record(suite, job_of(suite, row), **scored(0))
    found = claim_of(suite, capsys)
    assert found["status"] == "no result" and "group hurt: its categories are not chosen yet" in found["message"]
    assert f"`qdet-bench run {NAME} --tier mini --rows fp-tune lsq-tune`" in found["message"]
    call(suite, "table")
    text = capsys.readouterr().out
    assert "Group hurt: its categories are not chosen yet: no result of lsq-tune" in text


def test_the_core_rows_alone_cannot_choose(tmp_path: Path, capsys: Capture) -> None:
    suite = ruled(tmp_path)
    located(tmp_path, json.loads((tmp_path / "suites" / f"{NAME}.yaml").read_text()) | {"core": ["fp", "fp-ft", "lsq"]})
    measure(suite)
    capsys.readouterr()
    call(suite, "check", "--core", "--json")
    (found,) = json.loads(capsys.readouterr().out)["suites"][0]["claims"]
    assert found["message"] == "group hurt: its categories are chosen by fp-tune, lsq-tune: leave out --core"


def test_few_images_are_not_chosen(tmp_path: Path) -> None:
    suite = ruled(tmp_path, min_images=101)
    measure(suite, lsq_tune=1)
    (found,) = resolve(gather(suite, "mini")).values()
    assert found.categories == () and "0 categories have objects on 101 images" in found.lacking
    old = {key: value for key, value in scored(0).items() if key != "category_images"}
    for job in plan(suite, "mini"):
        store_record(suite, job, **old)
    (found,) = resolve(gather(suite, "mini")).values()
    assert "do not say on how many images a category is" in found.lacking


def test_the_table_has_groups_and_categories(tmp_path: Path, capsys: Capture) -> None:
    suite = suite_of(tmp_path)
    measure(suite, lsq=1)
    call(suite, "table")
    text = capsys.readouterr().out
    heading, _, fp, *_ = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in heading.split("|")][3:7] == ["AP", "AP50", "AP75", "person.AP"]
    assert "99.01" in fp
    assert "Group person: solid-disc (ours)." in text
    assert "lsq: of categories on 20 images or more, solid-disc -1.98 lose most." in text
    folded = text[text.index("<summary>Change of each category") :]
    cells = [[cell.strip() for cell in line.split("|")] for line in folded.splitlines()]
    assert ["", "solid-disc", "100", "-1.98", ""] in cells and ["", "solid-star", "100", "+1.98", ""] in cells
    call(suite, "table", "--json")
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert table["groups"]["person"]["categories"] == ["solid-disc"]
    assert table["categories"]["lsq"]["hurt_most"] == ["solid-disc"]
    assert table["rows"][0]["mean"]["person.AR100"] == pytest.approx(0.99)
    call(suite, "table", "--columns", "method", "person.AP50", "AR1")
    heading = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in heading.split("|")][1:4] == ["method", "person.AP50", "AR1"]
    call(suite, "table", "--format", "csv")
    assert "person.AP" in capsys.readouterr().out.splitlines()[0]


def test_a_category_that_only_records_tell_is_refused_with_its_line(tmp_path: Path, capsys: Capture) -> None:
    """The classes of a VOC folder are known once it was read."""
    (tmp_path / "voc").mkdir()
    data = suite_data(groups=PERSON)
    data["tiers"]["mini"]["data"] = {
        "kind": "voc", "path": "voc", "train": ["a"], "test": ["b"], "difficult": "crowd",
    }  # fmt: skip
    del data["tiers"]["mini"]["calibration"]
    data["rows"] = data["rows"][:2]
    data["policies"] = {}
    suite = located(tmp_path, data)
    results = gather(suite, "mini")
    assert resolve(results)["person"].categories == (NAMES[0],), "nothing is known of the data yet"
    job = job_of(suite, "fp")
    read = record(job, per_category={name: {"AP": 0.5} for name in ("cat", "solid-star")})
    first, *others = results.rows
    done = replace(first, jobs=(JobResult(job, "done", read),))
    results = replace(results, rows=(done, *others))
    with pytest.raises(UsageError, match=r"suites/toy/table1\.yaml:1: unknown category 'solid-disc'; did you mean"):
        resolve(results)


def test_records_are_compared_and_scored_on_the_groups_of_their_suite(tmp_path: Path, capsys: Capture) -> None:
    """All twelve numbers, from the stored predictions; their records know nothing of the group's categories."""
    suite = ruled(tmp_path)
    data = json.loads((tmp_path / "suites" / f"{NAME}.yaml").read_text())
    data["groups"]["stars"] = {"builtin": "star"}
    data["tiers"]["mini"]["data"]["images"]["test"] = 12
    suite = located(tmp_path, data)
    measure_predictions(suite, job_of(suite, "fp"), 0.5)
    measure_predictions(suite, job_of(suite, "lsq"), 4.0)
    sides = ["--root", str(tmp_path), "compare", f"{NAME}:fp", f"{NAME}:lsq", "--replicates", "100", "--json"]

    def compared(code: int, *more: str) -> Any:
        assert main([*sides, *more]) == code
        out, err = capsys.readouterr()
        return err if code == 2 else json.loads(out)

    found = compared(1, "--critical", "solid", "--fail-below", "stars.AP=-1", "--fail-below", "AR100=-99")
    assert list(found["groups"]) == ["stars", "solid"] and len(found["metrics"]) == 3 * 12
    assert found["groups"]["stars"] == [f"{fill}-star" for fill in ("solid", "hollow", "striped", "dotted")]
    assert [(limit["name"], limit["status"]) for limit in found["limits"]] == [("stars.AP", "fell"), ("AR100", "holds")]
    assert "--critical hurt: its categories are not chosen yet" in compared(2, "--critical", "hurt")
    for row, side in (("fp", "a"), ("lsq", "b")):
        assert main(["--root", str(tmp_path), "score", f"{NAME}:{row}", "--critical", "solid", "--json"]) == 0
        scored = json.loads(capsys.readouterr().out)
        for group in ("stars", "solid"):
            for name, value in scored["groups"][group]["metrics"].items():
                one = found["metrics"][f"{group}.{name}"][side]
                assert value == (-1 if one is None else one), name
    assert main(["--root", str(tmp_path), "score", f"{NAME}:fp", "--metric", "coco"]) == 2
    assert "--metric belongs to files" in capsys.readouterr().err
    assert main(["score", "--gt", "x.json"]) == 2
    assert "score wants --gt and --dt, or a record" in capsys.readouterr().err


def test_the_groups_change_no_job(tmp_path: Path) -> None:
    with_groups = [job.identity for job in plan(suite_of(tmp_path), "mini")]
    assert with_groups == [job.identity for job in plan(suite_of(tmp_path, groups={}), "mini")]


def test_sides_of_the_plant_are_what_they_say() -> None:
    first, second = scored(0)["metrics"]["AP"], scored(1)["metrics"]["AP"]
    assert first == pytest.approx(second, abs=1e-12) and sum(FOUND[0]) == sum(FOUND[1])
