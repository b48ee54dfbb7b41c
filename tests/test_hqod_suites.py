"""Tables I to IV: what they share, what they run beside the paper's rows, and a tier where FP is a checkpoint."""

import json
from pathlib import Path

import pytest
from conftest import PROJECT
from suite_text import changed, write_suite

from bench.cli.main import main
from bench.errors import BenchError
from bench.plan.jobs import plan
from bench.schema.load import load_suite
from bench.schema.methods import options_model
from bench.schema.suite import Tier
from bench.verdict.references import published_table

TABLES = [f"hqod/table{k}" for k in (1, 2, 3, 4)]
TIERS: tuple[Tier, ...] = ("smoke", "mini", "midi", "paper")


def identities(name: str, tier: Tier) -> dict[str, str]:
    return {job.row.id: job.identity for job in plan(load_suite(name, PROJECT), tier) if job.repetition == 0}


@pytest.mark.parametrize("name", TABLES)
def test_every_published_row_runs_at_every_tier(name: str) -> None:
    suite = load_suite(name, PROJECT).suite
    table = json.loads(json.dumps(_table(name)))
    assert {row.published for row in suite.rows} - {None} == set(table)
    for tier in TIERS:
        assert set(identities(name, tier)) == {row.id for row in suite.rows}


def _table(name: str) -> list[str]:
    from bench.schema.publications import load_published

    use = load_suite(name, PROJECT).suite.published
    assert use is not None
    file = load_published(use.file, PROJECT)
    assert file is not None
    return [row.id for row in file.table(use.table).rows]


@pytest.mark.parametrize("name", TABLES)
def test_full_precision_has_a_row_with_and_one_without_the_losses_on_the_schedule_of_qat(name: str) -> None:
    suite = load_suite(name, PROJECT).suite
    repaired = [row for row in suite.rows if "fp-ft-hqod" in row.id]
    for row in repaired:
        plain = suite.row(row.id.replace("-hqod", ""))
        assert (plain.start, plain.recipe, plain.methods) == (row.start, row.recipe, ())
        assert [use.name for use in row.methods] == ["hqod"]
    assert {row.detector for row in repaired} == {row.detector for row in suite.rows}


@pytest.mark.parametrize("name", [*TABLES, "real/bccd"])
def test_rows_with_the_losses_differ_from_those_without_in_the_losses_alone(name: str) -> None:
    suite = load_suite(name, PROJECT).suite
    for row in suite.rows:
        uses = [use for use in row.methods if use.name not in ("hqod", "hardet")]
        if len(uses) == len(row.methods) or not uses:
            continue
        alike = [r for r in suite.rows if (r.bits, r.detector, r.policy) == (row.bits, row.detector, row.policy)]
        same = [r for r in alike if r.methods == tuple(uses)]
        assert len(same) == 1, row.id
        assert (same[0].recipe, same[0].start) == (row.recipe, row.start)
        assert same[0].pins == row.pins


@pytest.mark.parametrize("name", [*TABLES, "real/bccd"])
def test_options_of_the_losses_are_the_papers(name: str) -> None:
    for row in load_suite(name, PROJECT).suite.rows:
        for use in row.methods:
            model = options_model(use.name)
            assert model is not None
            options = model.model_validate_json(json.dumps(use.options)).model_dump()
            if use.name == "hqod":
                assert (options["sigma"], options["gamma"]) in ((1.5, 0.8), (None, None))
            if use.name == "hardet":
                assert (options["alpha"], options["gamma"], options["margin"]) == (1.5, 0.8, 0.2)


@pytest.mark.parametrize("name", [*TABLES, "real/bccd"])
def test_no_tier_gives_a_row_with_the_losses_another_start_than_the_one_without(name: str) -> None:
    suite = load_suite(name, PROJECT).suite
    for tier in suite.tiers.values():
        makers: dict[str, set[str]] = {}
        for row in suite.rows:
            plain = json.dumps([use.options for use in row.methods if use.name not in ("hqod", "hardet")])
            tuned = [use.options for use in tier.methods(row) if use.name not in ("hqod", "hardet")]
            makers.setdefault(f"{row.detector} {row.bits} {row.start} {plain}", set()).add(json.dumps(tuned))
        assert all(len(found) == 1 for found in makers.values())


@pytest.mark.parametrize(
    ("observers", "words"),
    [
        ("nil: {weights: {kind: lsq}}", "unknown row or kind 'nil'"),
        ("fp: {weights: {kind: lsq}}", "no method of row 'fp' has weights"),
        ("lsq: {}", "names neither"),
        ("lsq: {weights: {kind: mse}}", "needs `p`"),
    ],
)
def test_observers_of_a_tier_that_fit_nothing(observers: str, words: str, tmp_path: Path) -> None:
    text = changed(("    calibration:", f"    observers: {{{observers}}}\n    calibration:"))
    with pytest.raises(BenchError, match=words):
        load_suite("x/y", write_suite(tmp_path, text).parents[2])


def test_observers_of_a_tier_take_the_place_of_the_methods(tmp_path: Path) -> None:
    text = changed(("    calibration:", "    observers: {lsq: {weights: {kind: lsq}}}\n    calibration:"))
    suite = load_suite("x/y", write_suite(tmp_path, text).parents[2])
    (use,) = next(job for job in plan(suite, "mini") if job.row.id == "lsq").raw["methods"]
    assert use["options"]["weights"] == {"kind": "lsq"} and use["options"]["activations"]["kind"] == "ema_mse"


def test_tables_share_their_jobs_at_tier_mini() -> None:
    shapes, second = identities("detectors/shapes_coco", "mini"), identities("hqod/table2", "mini")
    third, fourth = identities("hqod/table3", "mini"), identities("hqod/table4", "mini")
    for detector in ("retinanet-r18", "atss-r50", "ssdlite-mbv2"):
        assert second[f"{detector}-fp"] == shapes[detector]
    for row in ("retinanet-r18-fp", "retinanet-r18-syncbn-fp", "atss-r50-fp"):
        assert second[row] == third[row]
    assert fourth["fp"] == third["retinanet-r18-fp"]
    assert fourth["lsq"] == third["retinanet-r18-lsq-w2a2"]
    assert fourth["lsq-tcorr-hiou"] == third["retinanet-r18-lsq-hqod-w2a2"]


def test_published_checkpoints_are_scored_as_they_are_at_tier_paper() -> None:
    jobs = {job.row.id: job for job in plan(load_suite("hqod/table2", PROJECT), "paper")}
    fp, syncbn = jobs["retinanet-r50-fp"], jobs["retinanet-r18-syncbn-fp"]
    assert fp.raw["recipe"] is None
    assert fp.raw["detector"]["scale"]["init"]["file"].startswith("retinanet_r50_fpn_2x_coco")
    assert syncbn.raw["recipe"]["length"] == 12
    assert syncbn.raw["detector"]["scale"]["init"] == {"kind": "backbone", "file": "resnet18-5c106cde.pth"}
    batches = {row: jobs[row].raw["recipe"]["batch"] for row in jobs if jobs[row].raw["recipe"]}
    clips = {row: jobs[row].raw["recipe"].get("clip") for row in batches}
    assert (clips["retinanet-r18-lsq-w4a4"], clips["retinanet-r18-aqd-w4a4"], clips["atss-r50-tqt-w4a4"]) == (6, 8, 10)
    assert (batches["ssdlite-mbv2-lsq-w4a4"], batches["yolox-tiny-lsq-w4a4"]) == (40, 16)
    third = {job.row.id: job for job in plan(load_suite("hqod/table3", PROJECT), "paper")}
    assert third["atss-r50-tqt-w2a2"].raw["recipe"]["batch"] == 64


@pytest.mark.parametrize("name", TABLES)
def test_best_and_last_epoch_are_both_recorded_at_tier_paper(name: str) -> None:
    located = load_suite(name, PROJECT)
    for job in plan(located, "paper"):
        recipe = job.raw["recipe"]
        if recipe is not None and job.row.start is not None:
            assert recipe["evaluation"] == {"first": 10, "every": 1}, job.name
    table = published_table(located)
    assert table is not None and table.selection == "best"


def checkpoint_tier(*changes: tuple[str, str]) -> str:
    """The right suite where FP is a checkpoint at its tier."""
    return changed(
        ("        init: {kind: scratch}\n", "        init: {kind: checkpoint, file: model-0123abcd.pth}\n"),
        (
            """      fp:
        unit: step
        length: 4
        batch: 4
        optimizer: {kind: adamw, lr: 0.001, weight_decay: 0.01}
        decay: {kind: cosine}
        cost_s: 120
""",
            "      fp: null\n",
        ),
        *changes,
    )


def with_init(init: str) -> str:
    return checkpoint_tier(("    calibration:", f"    inits: {{{init}}}\n    calibration:"))


def test_a_null_recipe_trains_nothing(tmp_path: Path) -> None:
    write_suite(tmp_path, checkpoint_tier())
    jobs = {job.row.id: job for job in plan(load_suite("x/y", tmp_path), "mini", seeds=1)}
    assert jobs["fp"].raw["recipe"] is None and jobs["lsq"].raw["recipe"] is not None
    assert jobs["fp"].cost_s is None and "model-0123abcd.pth: the checkpoint is absent" in (jobs["fp"].blocked or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(("      fp:\n        unit", "      fp: null\n      old:\n        unit")), "must be a checkpoint"),
        (with_init("nil: {kind: scratch}"), "id 'nil'"),
        (with_init("lsq: {kind: scratch}"), "starts from row"),
        (with_init("fp: {kind: scratch}"), "must be a checkpoint"),
        (with_init("fp: {kind: backbone}"), "needs a `file`"),
    ],
)
def test_what_does_not_fit_is_refused(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_suite(tmp_path, text)
    assert main(["--root", str(tmp_path), "plan", "x/y"]) == 2
    assert words in capsys.readouterr().err
