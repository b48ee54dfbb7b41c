"""`run --log`: a job's curves in TensorBoard's files, and one line where the package is absent."""

from pathlib import Path

import pytest
from conftest import SUITE, bench, edited, make_root

from bench.cli import extras
from bench.cli.main import main
from bench.engine.curves import backends
from bench.engine.order import LOGGERS
from bench.records.record import Asked
from bench.records.store import Store
from bench.schema.load import load_suite


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path)


ASKED = Asked("hqod/table1", "fp", "mini", 3)


def test_tensorboard_holds_the_losses_of_a_job(root: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    with edited(root / "suites" / f"{SUITE}.yaml") as data:
        data["tiers"]["smoke"]["recipes"]["fp"]["evaluation"] = {"first": 2, "every": 2}
    done = bench(root, "run", SUITE, "--tier", "smoke", "--rows", "fp", "--log", "tensorboard")
    assert "logs/tensorboard" in done.stdout and "1 job: 1 executed" in done.stdout
    again = bench(root, "run", SUITE, "--tier", "smoke", "--rows", "fp", "--log", "tensorboard")
    assert "no job trained now" in again.stderr and "logs/tensorboard" not in again.stdout
    folder = root / "results/local/logs/tensorboard/hqod/table1/smoke/fp.0"
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    (record,) = Store(root).records()
    assert record.training is not None
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert [step for step, _ in losses] == [1, 2, 3, 4]
    assert [value for _, value in losses] == pytest.approx(record.training.curve, rel=1e-3)
    assert record.training.curve[0] == pytest.approx(record.training.first_loss, rel=1e-3)
    assert [event.step for event in events.Scalars("AR100")] == [one.step for one in record.evaluations] == [2]
    assert "learning_rate" in events.Tags()["scalars"]


def test_a_missing_package_is_named_with_its_extra(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in LOGGERS else found(name))
    for log in LOGGERS:
        assert main(["--root", str(root), "run", SUITE, "--tier", "smoke", "--log", log]) == 2
        said = capsys.readouterr().err
        assert f"pip install 'qdet-bench[{log}]' brings it" in said
        assert said.count("\n") == 1


def test_every_logger_is_one_of_mmengines_backends(tmp_path: Path) -> None:
    from mmengine.registry import VISBACKENDS

    for log in LOGGERS:
        (config,) = backends(log, tmp_path, ASKED)
        assert VISBACKENDS.build(config) is not None
        assert str(tmp_path / "results/local/logs" / log) in config["save_dir"]
    assert backends(None, tmp_path, ASKED) == []


def test_a_log_is_no_part_of_a_jobs_identity(root: Path) -> None:
    from bench.plan.jobs import plan
    from bench.run.scheduler import order_of

    job = plan(load_suite(SUITE, root), "smoke", ("fp",))[0]
    orders = [order_of(job, Store(root), (), log) for log in (None, "tensorboard")]
    assert orders[0].identity == orders[1].identity
    assert orders[0].protocol == orders[1].protocol
