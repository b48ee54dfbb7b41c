"""The suites of Fisher-aware quantization: what they refuse, and what their smoke rows leave in records."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, edited

from bench.cli.main import main
from bench.errors import UsageError
from bench.plan.jobs import plan
from bench.records.record import Record
from bench.records.store import Store
from bench.schema.load import load_suite
from bench.verdict.claims import judge
from bench.verdict.committed import gather_committed

Change = Callable[[dict[str, Any]], Any]
NAME = "fisher_detr/dab"
SHAPES = ("fisher_detr/detr", "fisher_detr/deformable", NAME)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("fisher")
    shutil.copytree(PROJECT / "suites" / "fisher_detr", root / "suites" / "fisher_detr")
    yield root


def refused(base: Path, tmp_path: Path, change: Change) -> str:
    """The one line that a changed suite is refused with, by exit code 2."""
    shutil.copytree(base / "suites", tmp_path / "suites")
    with edited(tmp_path / "suites" / f"{NAME}.yaml") as suite:
        change(suite)
    with pytest.raises(UsageError) as error:
        load_suite(NAME, tmp_path)
    lines = str(error.value).splitlines()
    assert main(["--root", str(tmp_path), "run", NAME, "--tier", "smoke"]) == 2
    assert len(lines) == 1 and lines[0].split(":")[0].endswith("dab.yaml"), lines
    return lines[0]


def _categories(names: list[str]) -> Change:
    def change(suite: dict[str, Any]) -> None:
        suite["methods"]["first"] |= {"categories": names}
        del suite["methods"]["first"]["group"]

    return change


def _chosen(suite: dict[str, Any]) -> None:
    rule = {"count": 2, "row": "uniform-tune", "reference": "fp-tune"}
    suite["groups"]["hurt"] = {"most_impacted": rule}
    suite["methods"]["first"]["group"] = "hurt"


ALL = [f"{fill}-{outline}" for outline in ("disc", "square", "triangle", "star", "cross")
       for fill in ("solid", "hollow", "striped", "dotted")]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_categories(["solid-star", "solid-moon"]), "unknown category 'solid-moon'"),
        (_categories([]), "categories: "),
        (_categories(ALL), "holds all 20 categories"),
        (_categories(["solid-star", "solid-star"]), "stands twice"),
        (lambda suite: suite["methods"]["first"].update(group="frist"), "unknown group 'frist'; did you mean 'first'?"),
        (lambda suite: suite["groups"].update(first={"categories": [], "source": "ours"}), "groups.first.categories"),
        (_chosen, "group 'hurt' is chosen from records, which a job cannot know"),
        (
            lambda suite: suite["methods"]["overall"].update(choices=[4, 8]),
            "row 'overall-w3': bits 3/32: the budget lies below the smallest possible size, 4 bits everywhere",
        ),
        (lambda suite: suite["methods"]["overall"].update(choices=[4, 2]), "`choices` must rise"),
        (lambda suite: suite["methods"]["first"].pop("alpha"), "`alpha` and `group` are given together"),
        (lambda suite: suite["methods"]["overall"].update(shuffled=1), "`shuffled` needs a `group`"),
    ],
)  # fmt: skip
def test_what_a_suite_is_refused_for(change: Change, words: str, base: Path, tmp_path: Path) -> None:
    assert words in refused(base, tmp_path, change)


@pytest.mark.parametrize("name", SHAPES)
def test_full_precision_rows_are_jobs_of_the_suite_of_detectors(name: str) -> None:
    """What either trains serves both."""
    theirs = {job.row.id: job.identity for job in plan(load_suite("detectors/shapes_voc", PROJECT), "mini")}
    ours = [job for job in plan(load_suite(name, PROJECT), "mini") if job.row.id in theirs and not job.repetition]
    assert len(ours) > 1 and all(job.identity == theirs[job.row.id] for job in ours)


@pytest.mark.parametrize("name", [*SHAPES, "fisher_detr/coco", "fisher_detr/panoptic"])
def test_each_quantized_row_says_that_it_is_a_reconstruction(name: str) -> None:
    suite = load_suite(name, PROJECT).suite
    assert all(row.reconstruction for row in suite.rows if not row.bits.is_fp)
    assert all(claim.published is None for claim in suite.claims)


@pytest.mark.parametrize(
    ("name", "out"), [("fisher_detr/detr", True), ("fisher_detr/dab", False), ("fisher_detr/deformable", False)]
)
def test_a_detr_that_began_with_a_backbone_is_still_asked_what_it_scores(name: str, out: bool) -> None:
    """DETR-R50 has 14.79 AP, which carries no claim."""
    verdicts = judge(gather_committed(load_suite(name, PROJECT), "mini"))
    low = ["full-precision row detr-r50 has 14.79 AP, the least is 15" in found.regime_why for found in verdicts]
    assert len(low) > 8 and set(low) == {out}
    assert all(found.words == "out of regime" for found in verdicts) is out


def test_a_group_is_written_out_in_the_job() -> None:
    jobs = {job.row.id: job for job in plan(load_suite(NAME, PROJECT), "smoke")}
    options = jobs["first-w4"].protocol.methods[0].options
    assert "group" not in options and options["categories"] == [
        f"{fill}-star" for fill in ("solid", "hollow", "striped", "dotted")
    ]
    other = jobs["first-shuffled-w4"].protocol.methods[0].options
    assert other == {**options, "shuffled": 0}


class _Rows:
    """Runs smoke rows in this process, each once."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root)
        self.jobs = {job.row.id: job for job in plan(load_suite("fisher_detr/deformable", root), "smoke")}

    def record(self, row: str) -> Record:
        from bench.engine.execute import execute
        from bench.run.scheduler import order_of

        job = self.jobs[row]
        folder = self.store.folder(job.identity)
        if (done := folder.record()) is None:
            if job.start is not None:
                self.record(job.start.row.id)
            folder.path.mkdir(parents=True, exist_ok=True)
            execute(order_of(job, self.store, ()), folder, lambda *_: None)
            done = folder.record()
        assert done is not None
        return done


@pytest.fixture(scope="module")
def rows(base: Path) -> _Rows:
    return _Rows(base)


@pytest.mark.parametrize(
    ("row", "method"),
    [("overall-w4", "fisher"), ("first-w3", "fisher"), ("first-shuffled-w5", "fisher"), ("hawq-w4", "hawq"),
     ("random-w4", "random_bits")],
)  # fmt: skip
def test_what_was_allocated_is_in_the_record(row: str, method: str, rows: _Rows) -> None:
    record = rows.record(row)
    facts = record.facts[method]
    layers, bits = facts["layers"], int(row[-1])
    sizes = {site.rsplit(" int", 1)[0]: int(site.rsplit(" int", 1)[1]) for site in record.placement_sites}
    assert {name: layer["bits"] for name, layer in layers.items()} == sizes
    assert facts["limit"] == sum(layer["weights"] for layer in layers.values()) * bits / 8 >= facts["used"]
    assert facts["used"] == sum(layer["weights"] * layer["bits"] for layer in layers.values()) / 8
    # Layers are of 256 weights and more, so less than that is left over.
    assert facts["limit"] - facts["used"] < 256
    assert all(len(layer["costs"]) == len(facts["choices"]) for layer in layers.values())


def test_bit_operations_are_another_budget(base: Path, tmp_path: Path) -> None:
    from bench.calibration.batches import Batches
    from bench.methods.stack import MethodStack
    from bench.quantization.footprint import footprint
    from bench.run.inspect import build, empty_batch, placement_of

    shutil.copytree(base / "suites", tmp_path / "suites")
    with edited(tmp_path / "suites" / f"{NAME}.yaml") as suite:
        suite["methods"]["random_bits"]["budget"] = "bops"
    job = next(job for job in plan(load_suite(NAME, tmp_path), "smoke") if job.row.id == "random-w4")
    model = build(job, tmp_path)
    placement = placement_of(job, tmp_path, model)
    methods, batches = MethodStack.of(job.protocol.methods), Batches(model, [empty_batch(64, 64)])
    methods.allocate(model, placement, batches)
    facts = methods.facts(model)["random_bits"]
    (forward,) = Batches(model.eval(), [empty_batch(64, 64)])
    saved = footprint(model, forward, None).bops - footprint(model, forward, placement).bops
    assert facts["budget"] == "bops" and 0 < facts["used"] <= facts["limit"]
    # These layers cost 4 of 32 parts; 28 are saved, and the other layers' cost drops out.
    assert facts["limit"] == pytest.approx(saved / 7)


def test_the_regulariser_runs_and_tells_its_trace(rows: _Rows) -> None:
    trained, plain = rows.record("qat-trace-w4"), rows.record("qat-w4")
    facts = trained.facts["fisher_trace"]
    assert facts["categories"] == ["solid-star", "hollow-star", "striped-star", "dotted-star"]
    assert facts["trace"]["first"] > 0 and trained.predictions.digest != plain.predictions.digest


def test_show_has_the_allocation_and_draws_it(rows: _Rows, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows.record("overall-w4")
    command = ["--root", str(rows.root), "show", "fisher_detr/deformable", "--tier", "smoke", "--quantizers"]
    assert main([*command, "--json", "--plots", str(tmp_path)]) == 0
    shown = {row["id"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert shown["overall-w4"]["allocated"] == rows.record("overall-w4").facts["fisher"]
    assert shown["second-w5"]["allocated"] == "when the row runs" and "allocated" not in shown["uniform-w4"]
    assert (tmp_path / "bits-4-32.png").stat().st_size > 10_000
    assert main([*command[:-1], "--plots", str(tmp_path)]) == 2
